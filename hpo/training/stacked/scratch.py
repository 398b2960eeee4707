"""Memory that is used again and again instead of being asked for at every step.

What is asked for anew, the system fills with zeros page by page: that made steps twice as long.
"""

from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scratch:
    """Named buffers that grow to the largest size asked for."""

    device: torch.device
    _held: dict[tuple[str, torch.dtype], Tensor] = field(default_factory=dict)

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return a tensor with arbitrary numbers, good until the same name is taken again."""
        n, key = prod(shape), (name, dtype)
        if key not in self._held or len(self._held[key]) < n:
            self._held.pop(key, None)
            self._held[key] = torch.empty(n, dtype=dtype, device=self.device)
        return self._held[key][:n].view(shape)

    def clear(self) -> None:
        """Give the memory back."""
        self._held.clear()
