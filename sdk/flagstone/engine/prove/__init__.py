"""``classify``: the proof that an edit is a no-op, only widens or only narrows, or a witness."""

from flagstone.engine.prove.claims import (
    Claim,
    Classification,
    FlagClassification,
    Verdict,
    Witness,
)
from flagstone.engine.prove.verdicts import classify

__all__ = [
    "Claim",
    "Classification",
    "FlagClassification",
    "Verdict",
    "Witness",
    "classify",
]
