"""Shares of the background in the samples, their losses and their gradients."""

from typing import NamedTuple

from torch import Tensor

from imbdet.structures import Candidates


class BackgroundShares(NamedTuple):
    """Shares of the background, in [0, 1].

    Attributes:
        candidates: share of all anchors or proposals that are not ignored.
        chosen: share of those that the sampler chose.
        loss: share of the weighted classification losses of the chosen ones; None for a loss of the
            whole ranking, in which samples have no losses of their own.
        gradient: share of the absolute gradients of the classification loss by the logits.
    """

    candidates: float
    chosen: float
    loss: float | None
    gradient: float


class BackgroundSums:
    """Sums over samples, image by image, by the names of :class:`BackgroundShares`."""

    def __init__(self) -> None:
        """Start at 0."""
        self._positives: dict[str, float] = {}
        self._background: dict[str, float] = {}

    def add(self, name: str, values: Tensor, candidates: Candidates) -> None:
        """Add values of some samples.

        Args:
            name: name of the share.
            values: (M,) values of the samples, >= 0.
            candidates: the samples; ignored ones do not count.
        """
        masks = candidates.is_positive, candidates.is_negative
        for sums, is_meant in zip((self._positives, self._background), masks, strict=True):
            sums[name] = sums.get(name, 0.0) + float(values[is_meant].double().sum())

    def shares(self) -> BackgroundShares | None:
        """Shares of the background; None without samples, or where one of the sums is 0."""
        totals = {name: self._positives[name] + of for name, of in self._background.items()}
        if not (totals and all(totals.values())):
            return None
        shares = {name: of / totals[name] for name, of in self._background.items()}
        return BackgroundShares(
            shares["candidates"], shares["chosen"], shares.get("loss"), shares["gradient"]
        )
