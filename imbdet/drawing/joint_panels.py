"""The joint distribution of IoU and loss as a panel, with its marginals."""

from collections.abc import Iterable

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from imbdet.drawing.style import COLOR_MAP, DARK


def common_norm(all_shares: Iterable[np.ndarray]) -> LogNorm:
    """A logarithmic scale of colours for the shares of several panels, not all of which are 0."""
    known = np.concatenate([shares[shares > 0] for shares in all_shares])
    return LogNorm(known.min(), known.max())


def finite_edges(edges: np.ndarray) -> np.ndarray:
    """(J + 3,) edges with a bin below and one above the (J + 1,) edges of losses.

    The outer bins have no end of their own; they are drawn as wide as the others.
    """
    step = edges[1] / edges[0]
    return np.concatenate([[edges[0] / step], edges, [edges[-1] * step]])


def add_grid(figure: Figure, num_rows: int, num_columns: int) -> GridSpec:
    """A grid for panels, each of which takes two rows and two columns with its marginals."""
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    return figure.add_gridspec(
        2 * num_rows,
        2 * num_columns,
        width_ratios=[5, 1] * num_columns,
        height_ratios=[1, 4] * num_rows,
    )


class JointPanel:
    """Cells of IoU and loss, with the sums of columns above and of rows at the right.

    Attributes:
        axes: axes of the cells.
        mesh: colours of the cells.
    """

    def __init__(
        self,
        grid: GridSpec,
        place: tuple[int, int],
        iou_edges: np.ndarray,
        loss_edges: np.ndarray,
        norm: LogNorm,
    ):
        """Draw empty cells.

        Args:
            grid: grid from :func:`add_grid`.
            place: row and column of the panel.
            iou_edges: (I + 1,) edges of the bins of IoU.
            loss_edges: (J + 1,) edges of the bins of the loss, finite and > 0.
            norm: scale from shares to colours.
        """
        i, j = 2 * place[0], 2 * place[1]
        self.axes, self._top, self._right = (
            grid.figure.add_subplot(grid[i + di, j + dj]) for di, dj in ((1, 0), (0, 0), (1, 1))
        )
        self._iou_edges, self._loss_edges = iou_edges, loss_edges
        nothing = np.zeros((len(iou_edges) - 1, len(loss_edges) - 1))
        self.mesh = self.axes.pcolormesh(
            iou_edges, loss_edges, nothing.T, cmap=COLOR_MAP, norm=norm, rasterized=True
        )
        self._by_iou = self._top.stairs(nothing.sum(axis=1), iou_edges, fill=True, color=DARK)
        self._by_loss = self._right.stairs(
            nothing.sum(axis=0), loss_edges, fill=True, color=DARK, orientation="horizontal"
        )
        self.axes.set(yscale="log", xlabel="IoU")
        self._right.set(yscale="log")
        for axes in (self._top, self._right):
            axes.axis("off")
        self.show(nothing, "")

    def show(self, shares: np.ndarray, title: str) -> None:
        """Show (I, J) shares, and a title above."""
        self._top.set_title(title, loc="left")
        self.mesh.set_array(np.ma.masked_equal(shares.T, 0))
        by_iou, by_loss = shares.sum(axis=1), shares.sum(axis=0)
        self._by_iou.set_data(by_iou)
        self._by_loss.set_data(by_loss)
        self._top.set_ylim(0, by_iou.max() or 1)
        self._right.set_xlim(0, by_loss.max() or 1)

    def zoom(self, is_used: np.ndarray) -> None:
        """Show the bins from the first to the last used one of (I, J) bool; all if none is."""
        ious = _ends(self._iou_edges, is_used.any(axis=1))
        losses = _ends(self._loss_edges, is_used.any(axis=0))
        self.axes.set(xlim=ious, ylim=losses)
        self._top.set_xlim(ious)
        self._right.set_ylim(losses)


def _ends(edges: np.ndarray, is_used: np.ndarray) -> tuple[float, float]:
    bins = np.flatnonzero(is_used) if is_used.any() else np.arange(len(is_used))
    return edges[bins[0]], edges[bins[-1] + 1]
