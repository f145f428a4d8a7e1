"""Suspects and their kinds."""

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
        score: score in [0, 1], 1 = surely wrong.
        image_id: id of the image, as text.
        id: id of the annotation, as text; None for a missing object.
        class_index: class of the annotation, from 0; None for a missing object.
        box: XYXY of the annotation in pixels of the file; None for a missing object.
        proposed_class: class that is proposed instead, from 0; None if there is no proposal.
        proposed_box: XYXY that is proposed instead; None if there is no proposal.
        partner: id of the annotation that a duplicate repeats.
        partner_box: XYXY of the annotation that a duplicate repeats.
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
    """A kind of suspects.

    Attributes:
        name: name in files and options.
        title: name in texts.
        threshold: default of the score from which on an annotation is changed.
    """

    name: str
    title: str
    threshold: float

    def __init__(self, evidence: Evidence):
        """Store the evidence."""
        self.evidence = evidence

    @cached_property
    @abstractmethod
    def scores(self) -> np.ndarray:
        """(A,) scores of all objects of the evidence, or (P,) of all its places, in [0, 1]."""

    @abstractmethod
    def suspect(self, row: int) -> Suspect:
        """The object or place of a row as a suspect, with the evidence and a proposal."""

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
    """A kind of suspects that are annotated objects."""

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
