"""Figures of a study: each `plot_…` returns a `Plot` with its caption, or None without data.

sweep    every repeat of a grid, and the mean of each configuration
search   the history of a search, the importance of its parameters, the score by each of them
curves   accuracy and loss over the epochs
stress   the best configuration under each change of the stress battery
test     ROC and calibration on the test set

Names from outside are escaped where they are drawn.
"""
