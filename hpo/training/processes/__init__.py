"""Lanes spread over processes of one thread each, which share the pixels."""

from hpo.training.processes.stack import ProcessStack, Spread, open_stack

__all__ = ["ProcessStack", "Spread", "open_stack"]
