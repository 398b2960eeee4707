"""Tests that kill studies and starve them of disk and memory.

`make chaos` runs all of them and writes benchmarks/results/chaos.json; CI runs a short form.
"""
