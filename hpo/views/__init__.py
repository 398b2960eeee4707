"""Results as tables, which the terminal prints and the page shows.

studies      configurations, finalists, learning curves, comparisons
evaluations  the test of a study
weights      the test of weights from elsewhere
data         the contents of a data set, and the findings of an audit
"""
