"""What a training recorded of its samples: joint histograms over its stretches."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from imbdet.report.elements import caption, color_scale, element, note, section, sortable_table
from imbdet.report.joint import HOW_TO_READ, iou_plot, joint_plots
from imbdet.report.plots import grid
from imbdet.report.sources import CannotShow, count_rows, read_arrays
from imbdet.wording import counted

# More would make the page large and the slider fine beyond use: neighbours are added up.
MAX_STRETCHES = 20

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
        CannotShow: there are none.
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
    first = next(iter(stages.values()))
    iou_edges = first["iou_edges"]
    loss_edges = np.concatenate([[0], first["loss_edges"], [np.inf]])
    panels = {
        text: {stage: arrays[f"{site}/{kind}"] for stage, arrays in stages.items()}
        for kind, text in PANELS.items()
    }
    # The last column is of samples whose loss is not known.
    known = {
        text: {stage: counts[:, :-1] for stage, counts in panel.items()}
        for text, panel in panels.items()
        if any(counts[:, :-1].any() for counts in panel.values())
    }
    unknown = [text for text in panels if text not in known]
    plots = joint_plots(known, iou_edges, loss_edges) if known else []
    plots += [iou_plot(text, panels[text], iou_edges) for text in unknown]
    plots.sort(key=lambda plot: list(panels).index(plot.title))
    has_slider = len(stages) > 1
    content = [
        caption(_CAPTION + (" or, by the slider, of a stretch of it." if has_slider else "."))
    ]
    if known:
        content += [caption(HOW_TO_READ), color_scale()]
    if unknown:
        content.append(note(f"No loss is known, only the IoU: {', '.join(unknown)}."))
    if has_slider:
        content.append(_slider(list(stages)))
    return section(site, *content, grid(plots))


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
