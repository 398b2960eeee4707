"""What the database holds of a study, as records: the only modules that know its attributes.

record       the request and the goal, checked where they are read
study        creating, opening and checking studies
trials       the trials, the job in each, and what other programs add
progress     what a search has tried, and what that leaves of its goal
summary      a study by configuration, and its JSON document
gathering    how a summary is made from the trials
intervals    means over repeats, and comparisons by what the run store holds of them
score        what a study optimizes, and how it is written
test_access  the log of every opening of the sealed test
baselines    the scores of models without tuning
"""
