"""Weights of others and of studies: reading them, finding their network, running it.

files     the tensors of a file, without running what it holds
network   from tensors to their network, and the probabilities it gives
load      a file, a folder of them, or the best of a study
predict   image files, and what weights are worth on test images
handover  the exported program, and a script that runs it without hpo
"""
