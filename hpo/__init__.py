"""Hyperparameter sweeps and searches for a small chest X-ray classifier."""
