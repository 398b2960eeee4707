"""The training loop as in the reports: the baseline of the epoch benchmark."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from hpo.config import TrainingConfig
from hpo.data.dataset import TrainingData
from hpo.training.model import plain_model


@dataclass(frozen=True)
class ReportLoop:
    """Network, optimizer and data loaders of one report."""

    model: nn.Sequential
    optimizer: torch.optim.Optimizer
    train: DataLoader[tuple[Tensor, ...]]
    validation: DataLoader[tuple[Tensor, ...]]


def open_report_loop(data: TrainingData, config: TrainingConfig) -> ReportLoop:
    """Return report A's setup: float32 images in memory, a shuffling DataLoader, plain Adam."""
    torch.manual_seed(0)
    model = plain_model(config)
    for module in model:
        if isinstance(module, nn.Linear | nn.BatchNorm1d):
            module.reset_parameters()
    images = torch.from_numpy(data.pixels_at(config.image_size)[: data.n_pool] / 255).float()
    labels = torch.from_numpy(data.labels).float()[:, None]
    fold, size = data.fold(0), config.batch_size
    train = TensorDataset(images[fold.train], labels[fold.train])
    validation = TensorDataset(images[fold.validation], labels[fold.validation])
    return ReportLoop(
        model,
        torch.optim.Adam(model.parameters(), lr=config.learning_rate),
        DataLoader(train, batch_size=size, shuffle=True),
        DataLoader(validation, batch_size=size),
    )


def run_report_epoch(loop: ReportLoop) -> float:
    """Train one epoch and evaluate the validation images; return the validation accuracy."""
    criterion = nn.BCEWithLogitsLoss()
    total_loss = 0.0
    loop.model.train()
    for images, labels in loop.train:
        loop.optimizer.zero_grad()
        loss = criterion(loop.model(images), labels)
        loss.backward()
        loop.optimizer.step()
        total_loss += loss.item()
    n_right = 0
    loop.model.eval()
    with torch.no_grad():
        for images, labels in loop.validation:
            logits = loop.model(images)
            total_loss += criterion(logits, labels).item()
            n_right += ((logits > 0) == labels.bool()).sum().item()
    return n_right / len(loop.validation.dataset)  # type: ignore[arg-type]
