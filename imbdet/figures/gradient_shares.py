"""How losses reformulate the gradient of an entry, and which entries the gradient comes from.

Li et al., "Gradient Harmonized Single-stage Detector", AAAI 2019, https://arxiv.org/abs/1811.05181

The norm g in [0, 1] is |p - p*| of a classification entry, and |d| / sqrt(d^2 + mu^2) of a box
coordinate that is off by d. A loss turns it into a gradient f(g): g for cross-entropy and for
authentic smooth L1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from imbdet.drawing.style import LINES, label_panel, new_figure
from imbdet.figures.columns import Chunks
from imbdet.figures.entries import valid_entries
from imbdet.figures.study import NothingToShow, Study
from imbdet.kernels.entrywise import entry_weights
from imbdet.losses.asl1 import asl1
from imbdet.losses.focal import FocalEntry
from imbdet.structures.classifiers import Classifier

# Of a curve; so dense that GHM's jumps between bins look like jumps.
NUM_POINTS = 501


@dataclass(frozen=True)
class GradientShares(Study):
    """Entries by their gradient norm, in B equal bins, and what each bin contributes.

    Attributes:
        entries: what is counted: "entries" or "box coordinates".
        counts: by kind, (B,) int64 numbers of entries.
        sums: by loss, (B,) sum of the gradients of the bin's entries.
        curves: by loss, f at the (C,) norms ``norms``; NaN of GHM in empty bins.
        norms: (C,) in [0, 1].
    """

    caption = (
        "By the norm g of their gradient: how many there are, the gradient that a loss makes of "
        "it, and the share of the whole gradient that comes from each bin. A loss is balanced "
        "as far as its shares are not piled up at one end."
    )

    entries: str
    counts: Mapping[str, np.ndarray]
    sums: Mapping[str, np.ndarray]
    curves: Mapping[str, np.ndarray]
    norms: np.ndarray

    @property
    def shares(self) -> dict[str, np.ndarray]:
        """By loss, (B,) share of the total gradient that comes from the bin."""
        return {loss: sums / max(sums.sum(), 1e-300) for loss, sums in self.sums.items()}

    def table(self) -> pa.Table:
        """See :class:`Study`."""
        edges = bin_edges(len(next(iter(self.counts.values()))))
        shares = {f"share_of_{loss}": share for loss, share in self.shares.items()}
        sums = {f"gradient_of_{loss}": total for loss, total in self.sums.items()}
        return pa.table({"g_from": edges[:-1], "g_to": edges[1:], **self.counts, **sums, **shares})

    def sentence(self) -> str:
        """See :class:`Study`."""
        total = sum(self.counts.values())
        shares = ", ".join(f"{share[0]:.1%} of {loss}'s" for loss, share in self.shares.items())
        return (
            f"The first of {len(total)} bins of the gradient norm has "
            f"{total[0] / total.sum():.1%} of the {total.sum():,} {self.entries}, and of the "
            f"gradient {shares}."
        )

    def draw(self) -> Figure:
        """Three panels over the same axis, the gradient norm."""
        figure = new_figure(2.6)
        panels = figure.subplots(1, 3, sharex=True)
        _draw_counts(panels[0], self)
        _draw_curves(panels[1], self)
        _draw_shares(panels[2], self)
        for axes in panels:
            axes.set(xlim=(0, 1), xlabel="gradient norm g")
            axes.grid()
        return figure


class ClassificationGradients(GradientShares):
    """Gradients of the classification entries."""

    name = "gradients_cls"
    title = "Gradients of the classification"


class BoxGradients(GradientShares):
    """Gradients of the box coordinates of the positives."""

    name = "gradients_box"
    title = "Gradients of the boxes"


def bin_edges(num_bins: int) -> np.ndarray:
    """(B + 1,) edges of equal bins over [0, 1]."""
    return np.arange(num_bins + 1) / num_bins


def harmony(counts: np.ndarray) -> np.ndarray:
    """(B,) weights N / (S_j B') of GHM for (B,) counts S_j of N entries in B' non-empty bins.

    The mean weight of the entries is 1; an empty bin has the weight 0.
    """
    used = counts > 0
    return np.where(used, counts.sum() / (np.maximum(counts, 1) * max(used.sum(), 1)), 0.0)


@dataclass
class EntryGradients:
    """Gathers the gradient norms of classification entries, image by image.

    Attributes:
        num_bins: number B of bins.
        alpha: weight of positive entries in the focal loss, or below 0 for none.
        gamma: exponent of the focal loss.
        counts: (2, B) int64 numbers of positive and negative entries.
        sums: (2, B) sums of their norms, which are the gradients of cross-entropy.
        focal_sums: (2, B) sums of their gradients by the focal loss.
    """

    num_bins: int
    alpha: float
    gamma: float
    counts: np.ndarray = field(init=False)
    sums: np.ndarray = field(init=False)
    focal_sums: np.ndarray = field(init=False)

    def __post_init__(self):
        self.counts = np.zeros((2, self.num_bins), dtype=np.int64)
        self.sums, self.focal_sums = np.zeros((2, 2, self.num_bins))

    def add(self, scores: Tensor, gt_labels: Tensor, classifier: Classifier) -> None:
        """Add the entries of some samples.

        Args:
            scores: (M, K) scores of the classes.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
            classifier: classifier of the scores; if they and the background sum to one, the
                background is an entry as well.
        """
        scores, labels = valid_entries(scores, gt_labels)
        if classifier.sums_to_one:
            background = 1 - scores.sum(dim=1, keepdim=True)
            scores = torch.cat([scores, background.clamp(0, 1)], dim=1)
        is_positive = labels[:, None] == torch.arange(scores.shape[1], device=labels.device)
        alphas = entry_weights(self.alpha)
        for i, norms in enumerate((1 - scores[is_positive], scores[~is_positive])):
            bins = (norms * self.num_bins).long().clamp_(0, self.num_bins - 1)
            focal = alphas[i] * focal_gradient(norms, self.gamma)
            self.counts[i] += bins.bincount(minlength=self.num_bins).cpu().numpy()
            for sums, values in ((self.sums, norms), (self.focal_sums, focal)):
                sums[i] += bins.bincount(values, minlength=self.num_bins).cpu().numpy()

    def result(self) -> ClassificationGradients:
        """The gathered numbers.

        Raises:
            NothingToShow: there are no entries.
        """
        counts, sums = self.counts.sum(axis=0), self.sums.sum(axis=0)
        if not counts.any():
            raise NothingToShow("there are no entries to classify.")
        weights, norms = harmony(counts), np.linspace(0, 1, NUM_POINTS)
        focal = focal_gradient(torch.from_numpy(norms), self.gamma).numpy()
        curves = {"CE": norms, "focal": focal, "GHM-C": norms * _at(weights, norms)}
        return ClassificationGradients(
            entries="entries",
            counts={"positives": self.counts[0], "negatives": self.counts[1]},
            sums={"CE": sums, "focal": self.focal_sums.sum(axis=0), "GHM-C": sums * weights},
            curves=curves,
            norms=norms,
        )


def focal_gradient(norms: Tensor, gamma: float) -> Tensor:
    """(n,) gradients of the focal loss, without alpha, of entries with the gradient norms."""
    tiny = torch.finfo(norms.dtype).eps
    return FocalEntry(+1, 1.0, gamma).grad(torch.logit(norms.clamp(0, 1 - tiny)))


def box_gradients(positives: Chunks, *, mu: float, num_bins: int, beta: float) -> BoxGradients:
    """Sum up the gradients of the box coordinates of the positives.

    Args:
        positives: chunks with "error_dx", "error_dy", "error_dw" and "error_dh", predicted minus
            target deltas.
        mu: parameter of the authentic smooth L1 loss, in deltas, > 0.
        num_bins: number B of bins.
        beta: error from which on smooth L1 is linear, in deltas, >= 0.

    Raises:
        NothingToShow: there are no positives.
    """
    counts = np.zeros(num_bins, dtype=np.int64)
    smooth_sums, norm_sums = np.zeros((2, num_bins))
    for chunk in positives:
        errors = np.concatenate([chunk[f"error_d{name}"] for name in "xywh"]).astype(float)
        differences = torch.from_numpy(errors)[:, None]
        norms = asl1(differences, torch.zeros_like(differences), mu)[1].numpy()[:, 0]
        bins = np.minimum((norms * num_bins).astype(int), num_bins - 1)
        counts += np.bincount(bins, minlength=num_bins)
        norm_sums += np.bincount(bins, norms, minlength=num_bins)
        smooth_sums += np.bincount(bins, smooth_l1_gradient(errors, beta), minlength=num_bins)
    if not counts.any():
        raise NothingToShow("there are no positives, whose boxes would be regressed.")
    weights, norms = harmony(counts), np.linspace(0, 1, NUM_POINTS)
    errors = mu * norms / np.sqrt(np.maximum(1 - norms**2, 1e-300))  # the d with this norm
    return BoxGradients(
        entries="box coordinates",
        counts={"positives": counts},
        sums={"smooth L1": smooth_sums, "ASL1": norm_sums, "GHM-R": norm_sums * weights},
        curves={
            "smooth L1": smooth_l1_gradient(errors, beta),
            "ASL1": norms,
            "GHM-R": norms * _at(weights, norms),
        },
        norms=norms,
    )


def smooth_l1_gradient(errors: np.ndarray, beta: float) -> np.ndarray:
    """(n,) absolute gradients of smooth L1; of L1 for a beta of 0."""
    errors = np.abs(errors)
    return np.minimum(errors / beta, 1) if beta > 0 else (errors > 0).astype(float)


def _at(weights: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Weights of the bins that norms fall into; NaN of empty bins."""
    found = weights[np.minimum((norms * len(weights)).astype(int), len(weights) - 1)]
    return np.where(found > 0, found, np.nan)


def _draw_counts(axes: Axes, numbers: GradientShares) -> None:
    edges = bin_edges(len(next(iter(numbers.counts.values()))))
    for (kind, counts), style in zip(numbers.counts.items(), LINES, strict=False):
        axes.stairs(counts, edges, baseline=None, label=kind, **{"linewidth": 1.5, **style})
    axes.set(yscale="log", ylabel=numbers.entries)
    axes.legend()
    label_panel(axes, "(a) how many")


def _draw_curves(axes: Axes, numbers: GradientShares) -> None:
    for (loss, values), style in zip(numbers.curves.items(), LINES, strict=False):
        axes.plot(numbers.norms, values, label=loss, **style)
    positive = [values[values > 0].min() for values in numbers.curves.values() if values.any()]
    axes.set(yscale="log", ylabel="reformulated gradient", ylim=(max(min(positive), 1e-4), None))
    axes.legend()
    label_panel(axes, "(b) how hard each pulls")


def _draw_shares(axes: Axes, numbers: GradientShares) -> None:
    for (loss, share), style in zip(numbers.shares.items(), LINES, strict=False):
        edges = bin_edges(len(share))
        axes.stairs(share, edges, baseline=None, label=loss, **{"linewidth": 1.5, **style})
    axes.set(ylabel="share of the total gradient", ylim=(0, None))
    axes.legend()
    label_panel(axes, "(c) what each bin adds")
