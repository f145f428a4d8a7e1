"""How much of the samples, of their losses and of their gradient is the background's."""

from typing import NamedTuple

from torch import Tensor

from imbdet.structures import Candidates


class BackgroundShares(NamedTuple):
    """Shares that the background has, in [0, 1].

    Attributes:
        candidates: of all anchors or proposals that are positive or background.
        chosen: of those that the sampler chose of them.
        loss: of the classification losses of the chosen ones, times their weights; None of a loss
            of the whole ranking, in which no sample pays for itself.
        gradient: of the absolute gradients of the classification loss by the logits.
    """

    candidates: float
    chosen: float
    loss: float | None
    gradient: float


class BackgroundSums:
    """Sums over samples, image by image, by the names of :class:`BackgroundShares`."""

    def __init__(self) -> None:
        """Begin at 0."""
        self._positives: dict[str, float] = {}
        self._background: dict[str, float] = {}

    def add(self, name: str, values: Tensor, candidates: Candidates) -> None:
        """Count in what some samples have.

        Args:
            name: of the share.
            values: (M,) of the samples, >= 0.
            candidates: the samples; ignored ones do not count.
        """
        masks = candidates.is_positive, candidates.is_negative
        for sums, is_meant in zip((self._positives, self._background), masks, strict=True):
            sums[name] = sums.get(name, 0.0) + float(values[is_meant].double().sum())

    def shares(self) -> BackgroundShares | None:
        """None where there are no samples, or they pay nothing at all."""
        totals = {name: self._positives[name] + of for name, of in self._background.items()}
        if not (totals and all(totals.values())):
            return None
        shares = {name: of / totals[name] for name, of in self._background.items()}
        return BackgroundShares(
            shares["candidates"], shares["chosen"], shares.get("loss"), shares["gradient"]
        )
