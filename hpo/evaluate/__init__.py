"""The sealed test, opened on record from the run store without training; learning curves.

test             the only way to open it: record, then read
configurations   the runs of a configuration, and its results on the test
thresholds       fixed, or chosen on validation; the gap to validation
metrics          accuracy to calibration error, ROC and calibration
intervals        for other trainings and patients; which configurations differ significantly
records          the results, and their document
checks           signs of failed training
learning_curves  convergence, steadiness, overfitting
studies          several studies on the same data
"""
