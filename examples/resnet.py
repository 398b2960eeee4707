"""A small residual network: `hpo grid blocks --model examples/resnet.py:resnet`."""

from typing import Annotated, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from hpo.models import Range


class Block(nn.Module):
    """Two convolutions with a shortcut (He et al. 2016); `stride` 2 halves the side."""

    def __init__(self, n_inputs: int, n: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_inputs, n, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(n, n, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(n), nn.BatchNorm2d(n)])
        self.shortcut = nn.Conv2d(n_inputs, n, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(inner)) + self.shortcut(x))


def resnet(
    *,
    n_outputs: int,
    channels: Literal[8, 16, 32] = 8,
    blocks: Annotated[int, Range(1, 4)] = 3,
) -> nn.Module:
    """Return a network from images (batch, 1, side, side) to logits (batch, n_outputs)."""
    widths = [channels * 2**block for block in range(blocks)]
    stem = nn.Conv2d(1, channels, 7, stride=2, padding=3)
    layers = [Block(n, m, 2) for n, m in zip([channels, *widths], widths, strict=False)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], n_outputs)]
    return nn.Sequential(stem, *layers, *head)
