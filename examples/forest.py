"""Classifiers of scikit-learn: `hpo grid max_depth=4,8,16 --model examples/forest.py:forest`."""

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier

from hpo.models import Range, estimator

forest = estimator(
    RandomForestClassifier, n_estimators=Range(10, 400), max_depth=[4, 8, 16], n_jobs=1
)

linear = estimator(SGDClassifier, loss="log_loss", alpha=Range(1e-6, 1e-1, log=True))
