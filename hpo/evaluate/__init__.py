"""The sealed test: opened on record, from the run store, without training.

opening         the one way in: record, then read
gathering       the runs of the configurations that are asked for
exam            the labels of the test, and resamples of its patients
thresholds      0.5, or chosen on validation
metrics         accuracy to calibration error
crossed         intervals over trainings and patients at once
configurations  one configuration on the test
gaps            what the test has less than validation, and why
pairs           which configurations really differ
curves          ROC and calibration
records, documents
"""

from hpo.evaluate.documents import to_document
from hpo.evaluate.exam import check_test
from hpo.evaluate.opening import Request, open_test, read_evaluation
from hpo.evaluate.records import METRICS, CalibrationBin, Ensemble, Evaluated, Evaluation, Roc

__all__ = [
    "METRICS",
    "CalibrationBin",
    "Ensemble",
    "Evaluated",
    "Evaluation",
    "Request",
    "Roc",
    "check_test",
    "open_test",
    "read_evaluation",
    "to_document",
]
