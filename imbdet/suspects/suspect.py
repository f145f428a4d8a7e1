"""A suspect, and what a kind of them is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from imbdet.suspects.evidence import Evidence


@dataclass(frozen=True)
class Suspect:
    """An annotation that may be wrong, or one that may be missing.

    Attributes:
        kind: name of the kind.
        score: in [0, 1], 1 = surely wrong.
        image_id: as text.
        id: of the annotation, as text; None of a missing object.
        class_index: of the annotation, from 0; None of a missing object.
        box: XYXY of the annotation in pixels of the file; None of a missing object.
        proposed_class: what it may be instead; None if there is no proposal.
        proposed_box: where it may be instead; None if there is no proposal.
        partner: id of the annotation that a duplicate repeats.
        partner_box: XYXY of the same.
        reason: the evidence in a sentence.
    """

    kind: str
    score: float
    image_id: str
    id: str | None
    class_index: int | None
    box: tuple[float, ...] | None
    reason: str
    proposed_class: int | None = None
    proposed_box: tuple[float, ...] | None = None
    partner: str | None = None
    partner_box: tuple[float, ...] | None = None


class SuspectKind(ABC):
    """A way to be wrong.

    Attributes:
        name: in files and options.
        title: for people.
        threshold: the score from which on an annotation is changed, unless another one is asked
            for.
    """

    name: str
    title: str
    threshold: float

    def __init__(self, evidence: Evidence):
        """Look at ``evidence``."""
        self.evidence = evidence

    @cached_property
    @abstractmethod
    def scores(self) -> np.ndarray:
        """(A,) of all objects of the evidence, or (P,) of all its places, in [0, 1]."""

    @abstractmethod
    def suspect(self, row: int) -> Suspect:
        """The object or place of a row, with the evidence and a proposal."""

    def ranked(self, number: int) -> Iterator[Suspect]:
        """The suspects with the highest scores above 0, at most ``number``, equal ones by row."""
        return (self.suspect(row) for row in self._order()[:number] if self.scores[row] > 0)

    def from_score(self, score: float) -> Iterator[Suspect]:
        """The suspects whose score is at least ``score``, which is above 0, in the same order."""
        return (self.suspect(row) for row in self._order() if self.scores[row] >= score)

    def _order(self) -> list[int]:
        """Rows, those of the highest scores first."""
        rows: list[int] = np.argsort(-self.scores, kind="stable").tolist()
        return rows


class ObjectKind(SuspectKind):
    """A kind that annotated objects can be."""

    def _suspect(self, row: int, reason: str, **proposal: object) -> Suspect:
        objects = self.evidence.objects
        return Suspect(
            kind=self.name,
            score=float(self.scores[row]),
            image_id=str(objects["image_id"][row]),
            id=str(objects["id"][row]),
            class_index=int(objects["class"][row]),
            box=tuple(self.evidence.boxes[row].tolist()),
            reason=reason,
            **proposal,  # type: ignore[arg-type]
        )
