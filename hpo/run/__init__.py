"""Running studies.

plan          from a request to a checked plan
session       an open study, locked for its only driver; `training_events` trains it
loop          training the trials of Optuna: ask, add a lane, report, prune, finish
sources       the next configuration and repeat of a grid or a search
proposals     the samplers, their data, and the pruner
dashboard     optuna-dashboard behind a private link
forecast      the time and memory that a plan needs
reproduce     retraining, for the weights or to compare
"""
