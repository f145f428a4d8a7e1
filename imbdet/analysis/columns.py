"""Tables as the numbers of a figure read them: column by column, chunk by chunk."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
import pyarrow as pa

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


class NothingToShow(Exception):  # noqa: N818  (no error: an answer)
    """A figure has no meaning here; the message says in one sentence why."""


class Numbers(Protocol):
    """What a figure shows."""

    def table(self) -> pa.Table:
        """The numbers, for a Parquet file."""
        ...

    def sentence(self) -> str:
        """What they say, in one sentence."""
        ...


def chosen_by(sampler: str) -> str:
    """The column that tells whether a sampler chose the candidate."""
    return f"chosen_by_{sampler}"


def sampler_of(selection: str, sign: str) -> str:
    """The sampler that a selection uses for "positives" or "negatives"."""
    return SELECTIONS[selection][list(SIGNS).index(sign)]


def mean(total: float, count: float) -> float:
    """A mean that is NaN, rather than an error, of nothing."""
    return total / count if count else float("nan")


def ratio(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means as :func:`mean`, of arrays of one shape."""
    return np.divide(values, counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def percent(share: float) -> str:
    """A share in [0, 1] to read; a dash for NaN."""
    return "-" if np.isnan(share) else f"{share:.1%}"
