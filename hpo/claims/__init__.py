"""Claims about curves as numbers: which configuration converges faster, is steadier, overfits.

measures    what is read off the curve of one training
evidence    what is on record of a training, run file or not
target      the accuracy that counts as "converged"
kinds       the six claims: what each measures, and how it is said
verdicts    every claim for every configuration, and for every pair of them
texts       in words: sentences and cells
documents   as JSON
"""

from hpo.claims.documents import to_document
from hpo.claims.kinds import KINDS, Kind
from hpo.claims.records import Claim, ClaimsSummary, Measured
from hpo.claims.target import Target
from hpo.claims.texts import cell, heading, outcome
from hpo.claims.verdicts import MOST, claims

__all__ = [
    "KINDS",
    "MOST",
    "Claim",
    "ClaimsSummary",
    "Kind",
    "Measured",
    "Target",
    "cell",
    "claims",
    "heading",
    "outcome",
    "to_document",
]
