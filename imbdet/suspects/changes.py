"""What becomes of the suspects in a copy of an annotation file."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from imbdet.formats.ignored_notes import ignored
from imbdet.suspects.suspect import Suspect

# Policies for suspects, and what they mean.
POLICIES = {
    "ignore": "suspects are ignored: neither objects nor background",
    "weight": "suspects weigh 1 - score; places of missing objects are ignored",
    "change": "suspects become what is proposed; those without a proposal are ignored",
}

# Fields of an annotation that belong to its box and cannot be moved with it.
_SHAPES = ("segmentation", "keypoints")


class Changes:
    """Proposed changes of annotations in COCO's or LVIS's format.

    The suspects of an annotation all count: it becomes another class at another place if it is
    suspected of both, and weighs what the highest score says.

    Attributes:
        count: number of annotations that were changed, removed or added.
    """

    def __init__(
        self, suspects: Sequence[Suspect], policy: str, category_ids: Sequence[Any]
    ) -> None:
        """Plan the changes.

        Args:
            suspects: suspects that are to be changed.
            policy: one of ``POLICIES``.
            category_ids: ids of the classes in the annotation file, by class number.
        """
        self._policy, self._category_ids = policy, category_ids
        self._of_note: defaultdict[str, list[Suspect]] = defaultdict(list)
        self._missing: list[Suspect] = []
        for suspect in suspects:
            if suspect.id is None:
                self._missing.append(suspect)
            else:
                self._of_note[suspect.id].append(suspect)
        self.count = len(self._of_note) + len(self._missing)

    def apply(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of the content of an annotation file, with the changes.

        An annotation that is changed or added has "suspect", the kinds of which it is suspected.
        """
        changed = (self._change(note) for note in content["annotations"])
        notes = [note for note in changed if note is not None]
        return {**content, "annotations": [*notes, *self._added(content)]}

    def _change(self, note: Mapping[str, Any]) -> dict[str, Any] | None:
        suspects = self._of_note.get(str(note["id"]), [])
        if not suspects:
            return dict(note)
        made = {**note, "suspect": ", ".join(suspect.kind for suspect in suspects)}
        if self._policy == "weight":
            score = max(suspect.score for suspect in suspects)
            return {**made, "weight": note.get("weight", 1) * (1 - score)}
        if self._policy == "ignore":
            return ignored(made)
        if any(suspect.partner is not None for suspect in suspects):
            return None  # the duplicate of another one
        for suspect in suspects:
            made = self._follow(made, suspect)
        return made

    def _follow(self, note: dict[str, Any], suspect: Suspect) -> dict[str, Any]:
        """The annotation as a suspect proposes, or ignored without a usable proposal."""
        if suspect.proposed_class is not None:
            return {**note, "category_id": self._category_ids[suspect.proposed_class]}
        if suspect.proposed_box is not None and not any(note.get(shape) for shape in _SHAPES):
            return {**note, **_placed(suspect.proposed_box)}
        return ignored(note)

    def _added(self, content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for suspect, note in notes_of_missing(content, self._missing, self._category_ids):
            made = {**note, "suspect": suspect.kind}
            yield made if self._policy == "change" else ignored(made)


def notes_of_missing(
    content: Mapping[str, Any], suspects: Iterable[Suspect], category_ids: Sequence[Any]
) -> Iterator[tuple[Suspect, dict[str, Any]]]:
    """Yield each suspect that is a missing object, and the annotation proposed for it.

    Args:
        content: content of the annotation file.
        suspects: suspects, of which only the missing objects count.
        category_ids: see :class:`Changes`.
    """
    image_ids = {str(image["id"]): image["id"] for image in content["images"]}
    note_ids = _new_ids(content)
    for suspect in suspects:
        if suspect.id is not None:
            continue
        assert suspect.proposed_box is not None
        assert suspect.proposed_class is not None
        note = {
            "id": next(note_ids),
            "image_id": image_ids[suspect.image_id],
            "category_id": category_ids[suspect.proposed_class],
            "iscrowd": 0,
            **_placed(suspect.proposed_box),
        }
        yield suspect, note


def _placed(box: Sequence[float]) -> dict[str, Any]:
    left, top, right, bottom = (round(edge, 2) for edge in box)
    width, height = round(right - left, 2), round(bottom - top, 2)
    return {"bbox": [left, top, width, height], "area": width * height}


def _new_ids(content: Mapping[str, Any]) -> Iterator[Any]:
    """Ids that no annotation has, of the type of those in the file."""
    taken = {note["id"] for note in content["annotations"]}
    if any(isinstance(note_id, str) for note_id in taken):
        number = 0
        while True:
            number += 1
            if f"missing-{number}" not in taken:
                yield f"missing-{number}"
    last = int(max(taken, default=0))
    while True:
        last += 1
        yield last
