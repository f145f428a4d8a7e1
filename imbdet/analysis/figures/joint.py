"""Six panels of IoU against loss, with marginals."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from imbdet.analysis.columns import SELECTIONS, SIGNS, sampler_of
from imbdet.analysis.figures.style import COLOR_MAP, DARK, new_figure, say
from imbdet.analysis.joint import SamplingDistribution
from imbdet.records import IOU_EDGES, LOSS_EDGES

# The bins below and above the edges get a bin's width.
_STEP = float(LOSS_EDGES[1] / LOSS_EDGES[0])
_LOSS_EDGES = np.concatenate(
    [[LOSS_EDGES[0] / _STEP], LOSS_EDGES.numpy(), [LOSS_EDGES[-1] * _STEP]]
)


def draw_sampling_distribution(numbers: SamplingDistribution) -> Figure:
    """Positives above, negatives below; random, hard and prime from left to right."""
    shares = {
        key: None if counts is None else counts[:, :-1] / max(counts[:, :-1].sum(), 1)
        for key, counts in numbers.counts.items()
    }
    known = [share for share in shares.values() if share is not None]
    least = min(share[share > 0].min() for share in known if share.any())
    norm = LogNorm(least, max(share.max() for share in known))
    rows = _used(np.any([share.any(axis=0) for share in known], axis=0))
    figure = new_figure(5.6)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    grid = figure.add_gridspec(4, 6, width_ratios=[5, 1] * 3, height_ratios=[1, 4] * 2)
    first = next(iter(SELECTIONS))
    for i, sign in enumerate(SIGNS):
        of_sign = [shares[selection, sign] for selection in SELECTIONS]
        columns = _used(np.any([s.any(axis=1) for s in of_sign if s is not None], axis=0))
        for j, selection in enumerate(SELECTIONS):
            panel, top, right = (
                figure.add_subplot(grid[2 * i + di, 2 * j + dj])
                for di, dj in ((1, 0), (0, 0), (1, 1))
            )
            top.set_title(f"{selection} {sign}\n({sampler_of(selection, sign)})", loc="left")
            share = shares[selection, sign]
            is_same = selection != first and _is_same(share, shares[first, sign])
            drawn = np.zeros_like(share) if is_same else share
            mesh = _draw_panel(panel, top, right, drawn, norm, columns, rows)
            if is_same:
                say(panel, f"the same\nas {first}")
            elif share is not None and not share.any():
                say(panel, "none was chosen")
            panel.tick_params(labelleft=j == 0)
            if j == 0:
                panel.set_ylabel("classification loss")
            panel.set_xlabel("IoU")
    figure.colorbar(mesh, ax=figure.axes, label="share of the chosen", shrink=0.6, pad=0.01)
    return figure


def _used(is_used: np.ndarray) -> slice:
    """From the first bin that is used to the last, or all if none is."""
    used = np.flatnonzero(is_used)
    return slice(used[0], used[-1] + 2) if len(used) else slice(None)


def _draw_panel(
    panel: Axes,
    top: Axes,
    right: Axes,
    share: np.ndarray | None,
    norm: LogNorm,
    columns: slice,
    rows: slice,
) -> object:
    """A panel with the marginals above and at its right."""
    iou_edges = IOU_EDGES.numpy()
    values = np.zeros((len(iou_edges) - 1, len(_LOSS_EDGES) - 1)) if share is None else share
    shown = np.ma.masked_equal(values.T, 0)
    mesh = panel.pcolormesh(iou_edges, _LOSS_EDGES, shown, cmap=COLOR_MAP, norm=norm)
    mesh.set_rasterized(True)
    panel.set(yscale="log", xlim=iou_edges[columns][[0, -1]], ylim=_LOSS_EDGES[rows][[0, -1]])
    top.stairs(values.sum(axis=1), iou_edges, fill=True, color=DARK)
    right.stairs(values.sum(axis=0), _LOSS_EDGES, fill=True, color=DARK, orientation="horizontal")
    top.set(xlim=panel.get_xlim())
    right.set(yscale="log", ylim=panel.get_ylim())
    for axes in (top, right):
        axes.axis("off")
    if share is None:
        say(panel, "needs a two-stage\ndetector: it compares\nall pairs of negatives")
    return mesh


def _is_same(share: np.ndarray | None, other: np.ndarray | None) -> bool:
    return share is not None and other is not None and share.any() and np.array_equal(share, other)
