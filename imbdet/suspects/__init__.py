"""Annotations that may be wrong, by the ledger of a training.

It needs neither torch nor detectron2.

Each kind of suspect scores every object, or every place without one, in [0, 1], so that definitions
can be compared; :meth:`SuspectKind.ranked` describes the highest in sentences and proposals.
"""

from collections.abc import Sequence

from imbdet.suspects.duplicate import Duplicate
from imbdet.suspects.evidence import Evidence
from imbdet.suspects.misplaced import Misplaced
from imbdet.suspects.missing import Missing
from imbdet.suspects.suspect import Suspect, SuspectKind
from imbdet.suspects.wrong_class import WrongClass

KINDS: Sequence[type[SuspectKind]] = (WrongClass, Misplaced, Missing, Duplicate)

__all__ = [
    "KINDS",
    "Duplicate",
    "Evidence",
    "Misplaced",
    "Missing",
    "Suspect",
    "SuspectKind",
    "WrongClass",
]
