"""Lanes spread over processes of one thread each, which share the pixels."""

from hpo.training.processes.stack import ProcessStack, Spread, open_stack
from hpo.training.processes.timing import seconds_side_by_side

__all__ = ["ProcessStack", "Spread", "open_stack", "seconds_side_by_side"]
