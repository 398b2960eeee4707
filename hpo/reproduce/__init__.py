"""Training a recorded trial again and comparing the numbers.

numbers     every number of a training, in the order it came about
judging     equal, equal within rounding, or different and where it begins
again       the training itself, never from the run store
texts       what came out, in words and as JSON
"""

from hpo.reproduce.again import EpochAgain, reproduce
from hpo.reproduce.judging import TOLERANCE, Difference, Judgment, Reproduction, judge
from hpo.reproduce.texts import sentences, to_document

__all__ = [
    "TOLERANCE",
    "Difference",
    "EpochAgain",
    "Judgment",
    "Reproduction",
    "judge",
    "reproduce",
    "sentences",
    "to_document",
]
