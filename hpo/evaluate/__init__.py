"""The sealed test, opened on record, from the run store, without training; and learning curves.

test             the one way to open it: record, then read
configurations   what the run store holds of a configuration, and its results
thresholds       0.5, or chosen on validation; the gap to validation
metrics          accuracy to calibration error, ROC and calibration
intervals        over trainings and patients at once; which configurations differ significantly
records          what was found, and its document
checks           signs of a broken training
learning_curves  convergence, steadiness, overfitting
studies          several studies on the same data
"""
