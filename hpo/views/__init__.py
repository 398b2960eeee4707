"""What commands show, as tables: the terminal prints them, the page shows them.

studies      configurations, finalists, learning curves, comparisons
evaluations  the test of a study
weights      the test of weights from elsewhere
data         what a data set holds, and what an audit finds
"""
