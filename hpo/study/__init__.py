"""A study in the database, as records: only these modules read and write its attributes.

record       the request and the goal, checked when they are read
study        creating, opening and checking studies
trials       the trials and their jobs, and trials added by other programs
progress     what a search has tried, and what is left of its goal
summary      a study by configuration, and its JSON document
gathering    how a summary is built from the trials
intervals    means over repeats, and comparisons by their runs
score        the score that a study optimizes, and its format
test_access  the log of every opening of the sealed test
baselines    the scores of models without tuning
"""
