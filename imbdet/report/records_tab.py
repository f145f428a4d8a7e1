"""Samples that a training recorded: joint histograms of stretches of the training."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from matplotlib.gridspec import GridSpec

from imbdet.drawing.joint_panels import JointPanel, add_grid, common_norm, finite_edges
from imbdet.drawing.style import DARK, new_figure, to_svg
from imbdet.report.drawings import svg_address, zoomable
from imbdet.report.elements import caption, element, note, section, sortable_table
from imbdet.report.result_files import CannotShow, count_rows, read_arrays
from imbdet.wording import counted

# More would make the page large and the slider too fine: neighbours are added up.
MAX_STRETCHES = 12

PANELS = {
    "pos_available": "available positives",
    "pos_chosen": "chosen positives",
    "neg_available": "available negatives",
    "neg_chosen": "chosen negatives",
}
_CAPTION = (
    "What the samplers could choose from and what they chose in the recorded iterations of the "
    "whole training"
)
_BY_SLIDER = " or, by the slider, of a stretch of it."
_HOW_TO_READ = (
    "Each cell is the share of the panel's samples with that IoU with the nearest object and that "
    "classification loss, on a logarithmic scale of colours; above and at the right are the sums "
    "of columns and rows. In brackets are the numbers of samples."
)

Arrays = Mapping[str, np.ndarray]


def records_content(folder: Path) -> list[Element]:
    """The tab of a folder ``records``; see docs/records.md."""
    stretches, problems = read_stretches(folder / "histograms")
    whole = add_up(list(stretches.values()))
    stages = {"whole training": whole, **(stretches if len(stretches) > 1 else {})}
    sites = sorted({name.split("/")[0] for name in whole if "/" in name})
    content = [
        section(
            "Samples", caption(_describe_rows(folder / "samples", whole)), _totals(sites, whole)
        )
    ]
    for site in sites:
        content.append(_site_section(site, stages))
    return [*content, *map(note, problems)]


def read_stretches(folder: Path) -> tuple[dict[str, Arrays], list[str]]:
    """The histograms by the name of a stretch, and sentences about files that are damaged.

    Raises:
        CannotShow: there are no histograms.
    """
    parts: dict[int, list[Arrays]] = {}
    problems = []
    for path in sorted(folder.glob("part-[0-9]*.npz")):
        try:
            arrays = read_arrays(path)
        except CannotShow as reason:
            problems.append(str(reason))
            continue
        parts.setdefault(int(re.match(r"part-(\d+)", path.name)[1]), []).append(arrays)
    if not parts:
        raise CannotShow(" ".join([f"There are no histograms in '{folder}'.", *problems]))
    groups = np.array_split(sorted(parts), min(len(parts), MAX_STRETCHES))
    starts = [0, *(int(group[-1]) + 1 for group in groups)]
    return {
        f"iterations {start:,} to {group[-1]:,}": add_up([a for i in group for a in parts[i]])
        for start, group in zip(starts, groups, strict=False)
    }, problems


def add_up(parts: list[Arrays]) -> Arrays:
    """The sums of the counts; the edges are those of the first part."""
    first, *others = parts
    return {
        name: values if name.endswith("_edges") else sum((o[name] for o in others), values)
        for name, values in first.items()
    }


def _site_section(site: str, stages: Mapping[str, Arrays]) -> Element:
    content = [caption(f"{_CAPTION}{_BY_SLIDER if len(stages) > 1 else '.'} {_HOW_TO_READ}")]
    if unknown := [text for kind, text in PANELS.items() if not _has_losses(site, kind, stages)]:
        content.append(note(f"No loss is known, only the IoU: {', '.join(unknown)}."))
    frames = [
        zoomable(svg_address(drawing), f"{site}, {stage}", class_="drawing")
        for stage, drawing in draw_stages(site, stages).items()
    ]
    for frame in frames[1:]:
        frame.set("hidden", "")
    if len(stages) > 1:
        content.append(_slider(list(stages)))
    return section(site, *content, element("div", *frames, class_="frames"))


def draw_stages(site: str, stages: Mapping[str, Arrays]) -> dict[str, bytes]:
    """By stage, an SVG of the samples that were available and chosen at a site."""
    first = next(iter(stages.values()))
    edges = first["iou_edges"], finite_edges(first["loss_edges"])
    known = [kind for kind in PANELS if _has_losses(site, kind, stages)]
    # The last column is of samples whose loss is not known.
    shares = {
        stage: {kind: _shares(arrays[f"{site}/{kind}"][:, :-1]) for kind in known}
        for stage, arrays in stages.items()
    }
    figure = new_figure(5.6)
    grid = add_grid(figure, 2, 2)
    all_shares = [share for of_stage in shares.values() for share in of_stage.values()]
    norm = common_norm(all_shares) if known else None
    panels: dict[str, JointPanel | IoUPanel] = {}
    for i, kind in enumerate(PANELS):
        place = divmod(i, 2)
        if kind in known:
            panels[kind] = JointPanel(grid, place, *edges, norm)
            panels[kind].axes.set_ylabel("classification loss")
        else:
            panels[kind] = IoUPanel(grid, place, edges[0])
    for sign in ("pos", "neg"):
        of_sign = [kind for kind in known if kind.startswith(sign)]
        is_used = sum(shares[stage][kind] for stage in stages for kind in of_sign)
        for kind in of_sign:
            panels[kind].zoom(is_used > 0)
    if known:
        mesh = panels[known[0]].mesh
        figure.colorbar(mesh, ax=figure.axes, label="share of the samples", shrink=0.6, pad=0.01)
    drawings = {}
    for stage, arrays in stages.items():
        for kind, panel in panels.items():
            counts = arrays[f"{site}/{kind}"]
            shown = shares[stage][kind] if kind in known else counts.sum(axis=1)
            panel.show(shown, f"{PANELS[kind]} ({counts.sum():,})")
        if not drawings:  # all share the layout, which takes long
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        drawings[stage] = to_svg(figure, is_trimmed=False)
    return drawings


class IoUPanel:
    """Numbers of samples by IoU, where no loss is known."""

    def __init__(self, grid: GridSpec, place: tuple[int, int], iou_edges: np.ndarray):
        """Draw nothing yet; see :class:`JointPanel`."""
        i, j = 2 * place[0], 2 * place[1]
        self.axes = grid.figure.add_subplot(grid[i : i + 2, j])
        self._stairs = self.axes.stairs(
            np.zeros(len(iou_edges) - 1), iou_edges, fill=True, color=DARK
        )
        self.axes.set(xlabel="IoU", ylabel="samples", xlim=iou_edges[[0, -1]])

    def show(self, counts: np.ndarray, title: str) -> None:
        """Show (I,) counts, and a title above."""
        self.axes.set_title(title, loc="left")
        self._stairs.set_data(counts)
        self.axes.set_ylim(0, 1.05 * counts.max() or 1)


def _has_losses(site: str, kind: str, stages: Mapping[str, Arrays]) -> bool:
    return any(arrays[f"{site}/{kind}"][:, :-1].any() for arrays in stages.values())


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / max(counts.sum(), 1)


def _slider(names: list[str]) -> Element:
    control = element(
        "input",
        type="range",
        min="0",
        max=str(len(names) - 1),
        value="0",
        class_="stages",
        aria_label="stretch of the training",
        data_names=json.dumps(names),
    )
    return element("label", control, element("output", names[0]), class_="slider")


def _totals(sites: list[str], whole: Arrays) -> Element:
    rows = []
    for site in sites:
        for sign, name in (("pos", "positives"), ("neg", "negatives")):
            available, chosen = (whole[f"{site}/{sign}_{kind}"] for kind in ("available", "chosen"))
            num_available, num_chosen = int(available.sum()), int(chosen.sum())
            share = 100 * num_chosen / num_available if num_available else None
            rows.append((site, name, num_available, num_chosen, share))
    return sortable_table(("site", "samples", "available", "chosen", "chosen [%]"), rows)


def _describe_rows(folder: Path, whole: Arrays) -> str:
    num_rows, damaged = 0, []
    for path in sorted(folder.glob("part-*.parquet")):
        try:
            num_rows += count_rows(path)
        except CannotShow as reason:
            damaged.append(str(reason))
    batches = f"{counted(int(whole['num_batches']), 'batch', 'batches')} recorded"
    rows = f"{counted(num_rows, 'sample')} kept as rows in records/samples"
    return " ".join([f"{batches}; {rows}.", *damaged])
