"""What is promised of a study that is killed or starved: tried out by force.

`make chaos` runs all of it and writes benchmarks/results/chaos.json; CI runs a short form.
"""
