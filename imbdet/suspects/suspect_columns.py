"""Suspects as an Arrow table."""

from collections.abc import Container, Mapping, Sequence

import pyarrow as pa

from imbdet.suspects.box_arrays import EDGES
from imbdet.suspects.suspect import Suspect

SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("score", pa.float64()),
        ("image_id", pa.string()),
        ("file_name", pa.string()),
        ("id", pa.string()),
        ("class", pa.string()),
        ("is_of_confused_class", pa.bool_()),
        *((edge, pa.float64()) for edge in EDGES),
        ("proposed_class", pa.string()),
        *((f"proposed_{edge}", pa.float64()) for edge in EDGES),
        ("duplicate_of", pa.string()),
        ("reason", pa.string()),
        ("crop", pa.string()),
    ]
)


def to_table(
    suspects: Sequence[Suspect],
    classes: Sequence[str],
    confused: Container[int],
    file_names: Mapping[str, str],
    crops: Sequence[str | None],
) -> pa.Table:
    """A row for each suspect.

    Args:
        suspects: suspects in the order of the rows.
        classes: names, by class number.
        confused: numbers of the :func:`imbdet.suspects.doubt.confused_classes`.
        file_names: names of the image files, by the ids of the images.
        crops: name of the picture of each suspect; None if there is none.
    """
    rows = [
        {
            "kind": suspect.kind,
            "score": suspect.score,
            "image_id": suspect.image_id,
            "file_name": file_names[suspect.image_id],
            "id": suspect.id,
            "class": _name(suspect.class_index, classes),
            "is_of_confused_class": suspect.class_index in confused,
            **_edges("", suspect.box),
            "proposed_class": _name(suspect.proposed_class, classes),
            **_edges("proposed_", suspect.proposed_box),
            "duplicate_of": suspect.partner,
            "reason": suspect.reason,
            "crop": crop,
        }
        for suspect, crop in zip(suspects, crops, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _name(index: int | None, classes: Sequence[str]) -> str | None:
    return None if index is None else classes[index]


def _edges(prefix: str, box: Sequence[float] | None) -> dict[str, float | None]:
    edges = box if box is not None else (None,) * 4
    return {f"{prefix}{name}": edge for name, edge in zip(EDGES, edges, strict=True)}
