"""Pages that need no network: of a study, and of several compared."""

from hpo.report.page import write_comparison, write_report

__all__ = ["write_comparison", "write_report"]
