"""The table of candidates as figures read it: column by column, chunk by chunk."""

from collections.abc import Iterable, Mapping

import numpy as np

# One chunk of a table: arrays of one length by the names of their columns.
Columns = Mapping[str, np.ndarray]
Chunks = Iterable[Columns]

# The columns of a box, its corners.
BOX = ("x0", "y0", "x1", "y1")

# The values of the column "label".
POSITIVE, NEGATIVE, IGNORED = 1, 0, -1
SIGNS = {"positives": POSITIVE, "negatives": NEGATIVE}

# The three selections that every comparison is about: samplers of positives and of negatives.
SELECTIONS = {
    "random": ("random", "random"),
    "hard": ("ohem", "ohem"),
    "prime": ("iou_hlr", "score_hlr"),
}


def chosen_by(sampler: str) -> str:
    """The column that says whether a sampler chose the candidate."""
    return f"chosen_by_{sampler}"


def object_by(assigner: str) -> str:
    """The column with the object, by an assigner, of each candidate; -1 if it has none."""
    return f"gt_id_by_{assigner}"


def sampler_of(selection: str, sign: str) -> str:
    """The sampler that a selection uses for "positives" or "negatives"."""
    return SELECTIONS[selection][list(SIGNS).index(sign)]
