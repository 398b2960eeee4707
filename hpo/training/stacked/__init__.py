"""The stacked engine: whole sweeps at once."""

from hpo.training.stacked.engine import StackedStack, open_stack

__all__ = ["StackedStack", "open_stack"]
