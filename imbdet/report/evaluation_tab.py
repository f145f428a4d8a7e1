"""COCO's metrics of each data set, and pictures of detections."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from imbdet.drawing.run_styles import GROUP_WIDTH, run_bars, spread
from imbdet.drawing.style import short
from imbdet.formats.lvis_json import FREQUENCIES
from imbdet.report.confusion_section import confusion_section
from imbdet.report.drawings import Plot, add_names, grid, new_axes
from imbdet.report.elements import caption, note, section, sortable_table
from imbdet.report.gallery import Gallery
from imbdet.report.precision_recall import (
    HOW_TO_READ,
    MAX_CLASSES,
    precision_recall_plots,
)
from imbdet.report.result_files import CannotShow, read_json, reading
from imbdet.wording import counted

KINDS = {"bbox": "boxes", "segm": "masks"}
_KINDS_OF_FOLDERS = {
    "inference": "",
    "inference_EMA": ", averaged weights",
    "inference_TTA": ", augmented images",
}
_PERCENT = ".2f"
_PICTURES = "Ground truth on the left, detections on the right."

# Names of more classes would be too small to read; the table has them all.
MAX_BARS = 40


def evaluation_folders(folder: Path) -> dict[Path, str]:
    """The folder of each evaluation of a run on a data set, and its name on the page.

    Args:
        folder: OUTPUT_DIR of the run.
    """
    return {
        path: f"{path.name}{name}"
        for kind, name in _KINDS_OF_FOLDERS.items()
        for path in sorted((folder / kind).glob("*"))
        if path.is_dir()
    }


def evaluation_content(folder: Path, gallery: Gallery) -> list[Element]:
    """A section for each evaluation of a run on a data set."""
    datasets = evaluation_folders(folder)
    if not datasets:
        raise CannotShow("There is no evaluation: 'inference' has no data set.")
    content = []
    for dataset, name in datasets.items():
        path = dataset / "metrics.json"
        try:
            evaluation = read_json(path)
            with reading(path):
                content += _dataset_sections(name, evaluation)
                content += _curve_sections(dataset, name, evaluation)
        except CannotShow as reason:
            content.append(section(name, note(str(reason))))
        pictures = gallery.embed((dataset / "pictures").glob("*.png"))
        if pictures:
            content.append(section(f"Detections on {name}", caption(_PICTURES), *pictures))
    return content


def _dataset_sections(name: str, evaluation: Mapping[str, Any]) -> list[Element]:
    metrics = evaluation["metrics"]
    kinds = [KINDS.get(kind, kind) for kind in metrics]
    overall = [found["overall"] for found in metrics.values()]
    names = list(overall[0]) if overall else []
    table = sortable_table(
        ("compared", *names),
        [
            (kind, *(values[name] for name in names))
            for kind, values in zip(kinds, overall, strict=True)
        ],
        _PERCENT,
    )
    is_lvis = evaluation.get("evaluator_type") == "lvis"
    text = (
        f"{counted(evaluation['num_detections'], 'detection')} on "
        f"{counted(evaluation['num_images'], 'image')}, by {evaluation['library']}; in percent. At "
        f"most {evaluation.get('max_detections', 100)} "
        f"{'of an image' if is_lvis else 'of a class in an image'} count. "
        "APs, APm and APl are of small, medium and large objects, AR@n the "
        f"recall of at most n detections in an image.{_describe_frequencies(evaluation)}"
    )
    title = f"{'LVIS' if is_lvis else 'COCO'}'s metrics on {name}"
    return [
        section(title, caption(text), table),
        *(
            _class_section(name, kind, found["per_class"], evaluation)
            for kind, found in zip(kinds, metrics.values(), strict=True)
        ),
    ]


def _describe_frequencies(evaluation: Mapping[str, Any]) -> str:
    if not evaluation.get("frequencies"):
        return ""
    bounds = evaluation.get("frequency_bounds")
    meaning = ""
    if bounds:
        low, high = bounds
        meaning = f": those in at most {low:,} training images, in at most {high:,}, and in more"
    return f" APr, APc and APf are of rare, common and frequent classes{meaning}."


def _class_section(
    name: str,
    kind: str,
    per_class: Mapping[str, Mapping[str, Any]],
    evaluation: Mapping[str, Any],
) -> Element:
    best, frequencies = (evaluation.get(key, {}) for key in ("optimal_lrp", "frequencies"))
    rows = []
    for label in _frequent_first(per_class):
        row = [label, *(per_class[label][key] for key in ("objects", "AP", "AP50"))]
        if best:
            row += [best.get(label, {}).get(key) for key in ("olrp", "threshold")]
        if frequencies:
            row.append(FREQUENCIES.get(frequencies.get(label), ""))
        rows.append(row)
    headers = [
        *("class", "objects", "AP", "AP50"),
        *(("oLRP", "best threshold") if best else ()),
        *(("in training",) if frequencies else ()),
    ]
    table = sortable_table(headers, rows, _PERCENT)
    text = "The class with the most objects in the data set comes first."
    if best:
        text += (
            " oLRP is the error of its boxes at the best score threshold, optimal LRP; the lower, "
            "the better. A class without a threshold is best not detected at all."
        )
    if len(rows) > MAX_BARS:
        text += f" The first {MAX_BARS} of {len(rows)} classes."
    title = f"Classes of {name}, {kind}"
    return section(title, caption(text), grid([draw_class_ap(rows[:MAX_BARS])]), table)


def draw_class_ap(rows: Sequence[Sequence[Any]]) -> Plot:
    """Draw bars of AP and AP50.

    Args:
        rows: class, objects, AP and AP50 of each class, the APs in percent or None.
    """
    figure, axes = new_axes("percent", "", height=1.2 + 0.26 * len(rows))
    places = np.arange(len(rows))
    bars = run_bars(("AP", "AP50"))
    for i, (name, bar) in enumerate(bars.items()):
        values = np.array([row[2 + i] for row in rows], dtype=float)
        at = places + spread(i, len(bars))
        axes.barh(at, values, GROUP_WIDTH / len(bars), label=name, **bar)
    axes.set_yticks(places, [short(row[0]) for row in rows])
    axes.set(xlim=(0, 100), ylim=(len(rows) - 0.4, -0.6))
    axes.grid(False, axis="y")
    add_names(figure, axes)
    return Plot("AP by class", figure)


def _curve_sections(dataset: Path, name: str, evaluation: Mapping[str, Any]) -> list[Element]:
    """Sections from ``curves.json``; none for an evaluation without it."""
    path = dataset / "curves.json"
    if not path.exists():
        return []
    curves = read_json(path)
    sections = []
    for kind, found in evaluation["metrics"].items():
        precisions = curves["precisions"].get(kind, {})
        classes = [label for label in _frequent_first(found["per_class"]) if label in precisions]
        if not classes:
            continue
        drawn = {label: precisions[label] for label in classes}
        best = evaluation.get("optimal_lrp", {}) if kind == "bbox" else {}
        text = HOW_TO_READ
        if len(classes) > MAX_CLASSES:
            text += f" The {MAX_CLASSES} classes with the most objects of {len(classes)}."
        plots = precision_recall_plots(curves["recalls"], drawn, best)
        title = f"Precision and recall on {name}, {KINDS.get(kind, kind)}"
        sections.append(section(title, caption(text), grid(plots)))
    classes = _frequent_first(next(iter(evaluation["metrics"].values()))["per_class"])
    if curves["confusion"]:
        sections.append(confusion_section(name, curves["confusion"], classes))
    return sections


def _frequent_first(per_class: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return sorted(per_class, key=lambda name: -per_class[name]["objects"])
