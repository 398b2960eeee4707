"""Triton kernels of the graphed engine: what a step of training launches on a GPU.

Triton comes with torch's CUDA build on Linux; nothing here is imported where it is not.
"""
