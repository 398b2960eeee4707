"""Weights of studies and from elsewhere: reading them, inferring the network, running it.

files     the tensors of a file, without running its content
network   from tensors to their network and its probabilities
load      a file, a folder of them, or the best of a study
predict   predictions for image files, evaluation on test images
handover  the exported program, and a script that runs it without hpo
"""
