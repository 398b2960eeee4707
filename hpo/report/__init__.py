"""The page of a study: one file that needs no network."""

from hpo.report.page import write_report

__all__ = ["write_report"]
