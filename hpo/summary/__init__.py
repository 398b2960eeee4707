"""A study by configuration: what tables, figures, winners and JSON are made from."""

from hpo.summary.documents import to_document
from hpo.summary.finalists import Finalist, Finalists, sentences
from hpo.summary.gathering import summarize, summarize_all, with_call
from hpo.summary.records import Configuration, Repeat, ReportBase, State, StudySummary

__all__ = [
    "Configuration",
    "Finalist",
    "Finalists",
    "Repeat",
    "ReportBase",
    "State",
    "StudySummary",
    "sentences",
    "summarize",
    "summarize_all",
    "to_document",
    "with_call",
]
