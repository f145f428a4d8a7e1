"""The boxes that each selection chose on an image, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from detectron2.data.detection_utils import read_image
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from imbdet.analysis.assigner_pictures import draw_assigners
from imbdet.analysis.ground_truth_boxes import draw_objects, draw_regions
from imbdet.drawing.style import STYLE, WIDTH, new_figure, save, say
from imbdet.errors import UserError, suggest
from imbdet.evaluation.detection_pictures import name_pictures, spread
from imbdet.figures.columns import (
    BOX,
    SELECTIONS,
    SIGNS,
    Columns,
    chosen_by,
    object_by,
    sampler_of,
)
from imbdet.figures.part_files import PartReader

# The lightness rises evenly; the dark end, which would vanish in a dark picture, is left out.
_COLORS = LinearSegmentedColormap.from_list("iou", mpl.colormaps["plasma"](np.linspace(0.3, 1, 64)))
# Losses whose lines are drawn in the legend; widths grow with the logarithm between the ends.
LEGEND_LOSSES = (0.01, 0.1, 1.0, 10.0)
_THINNEST, _THICKEST = 0.4, 2.6


def choose_images(
    images: Columns, objects: Columns, names: Sequence[str], number: int
) -> list[int]:
    """Rows of the images to draw.

    Args:
        images: table with "image_id" and "file_name".
        objects: table with the "image_id" of each object.
        names: file names, with or without folder and suffix, or image ids, some maybe of the same
            image; if empty, images are chosen here.
        number: number of images in that case, spread evenly over those with objects, or over all
            if none has.

    Raises:
        UserError: no image has one of the names.
    """
    if not names:
        has_objects = np.isin(images["image_id"], objects["image_id"])
        rows = np.flatnonzero(has_objects) if has_objects.any() else np.arange(len(has_objects))
        return spread(rows.tolist(), number)
    return find_rows(images["image_id"], images["file_name"], names)


def find_rows(
    image_ids: Sequence[str], file_names: Sequence[str], names: Sequence[str]
) -> list[int]:
    """Rows of the images of these names; see :func:`choose_images`.

    Raises:
        UserError: no image has one of the names.
    """
    known: dict[str, int] = {}
    for row, path in enumerate(map(Path, file_names)):
        for alias in (path.stem, path.name, str(path)):
            known.setdefault(alias, row)
    for row, image_id in enumerate(image_ids):  # which may be the name of another image's file
        known.setdefault(image_id, row)
    for name in names:
        if name not in known:
            stems = [Path(path).stem for path in file_names]
            raise UserError(f"--picture '{name}': no image has this name. {suggest(name, stems)}")
    return list(dict.fromkeys(known[name] for name in names))


def draw_pictures(
    candidates: PartReader,
    images: Columns,
    objects: Columns,
    regions: Columns,
    rows: Sequence[int],
    folder: Path,
) -> list[Path]:
    """Save the pictures of each image in ``rows``; see :func:`choose_images`."""
    columns = ["image_id", "label", "iou", "cls_loss", *BOX]
    columns += [chosen_by(sampler_of(name, sign)) for name in SELECTIONS for sign in SIGNS]
    columns += map(object_by, candidates.assigners)
    ids, files = ([images[column][row] for row in rows] for column in ("image_id", "file_name"))
    infos = [{"id": image_id, "file_name": file} for image_id, file in zip(ids, files, strict=True)]
    paths = []
    for image_id, file, name in zip(ids, files, name_pictures(infos), strict=True):
        chunks = list(candidates.chunks(list(dict.fromkeys(columns)), ("image_id", image_id)))
        found = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
        gt_boxes, ignored = (_boxes_of(image_id, table) for table in (objects, regions))
        with mpl.rc_context(STYLE):
            pixels = read_image(file, "RGB")
            paths += save(draw_picture(pixels, found, gt_boxes, ignored), folder / name)
            if candidates.assigners:
                drawn = draw_assigners(pixels, found, gt_boxes, ignored, candidates.assigners)
                paths += save(drawn, folder / f"{name}_assigners")
    return paths


def _boxes_of(image_id: str, table: Columns) -> np.ndarray:
    """(N, 4) XYXY boxes of an image in a table."""
    is_own = table["image_id"] == image_id
    return np.stack([table[name][is_own] for name in BOX], axis=1)


def draw_picture(
    pixels: np.ndarray, candidates: Columns, gt_boxes: np.ndarray, regions: np.ndarray
) -> Figure:
    """Draw positives above, negatives below; random, hard and prime from left to right.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        candidates: "label", "iou", "cls_loss" and corners of the image's candidates, and the
            columns of the samplers.
        gt_boxes: (G, 4) XYXY boxes of the objects.
        regions: (I, 4) XYXY ignored regions.
    """
    height, width = pixels.shape[:2]
    # Panels of the image's shape beside the colour bar, titles, and the legend below.
    panel_width = (WIDTH - 0.8) / len(SELECTIONS)
    figure_height = len(SIGNS) * (panel_width * height / width + 0.3) + 0.7
    figure = new_figure(figure_height, layout="compressed")
    panels = figure.subplots(len(SIGNS), len(SELECTIONS))
    # Grey and dark, so that colours and white stand out.
    grey = pixels @ np.array([0.299, 0.587, 0.114]) * 0.5
    for i, sign in enumerate(SIGNS):
        for j, selection in enumerate(SELECTIONS):
            axes = panels[i, j]
            axes.set_axis_off()
            column = chosen_by(sampler_of(selection, sign))
            if column not in candidates:
                axes.set_title(f"{selection} {sign}", loc="left")
                axes.set_box_aspect(height / width)
                say(axes, "needs a two-stage detector")
                continue
            axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
            axes.autoscale(False)  # boxes may leave the image
            is_available = candidates["label"] == SIGNS[sign]
            rows = candidates[column] & is_available
            title = f"{selection} {sign} ({rows.sum()})"
            if rows.any() and (rows == is_available).all():  # then panels are alike
                title = f"{selection}: all {rows.sum()} {sign}"
            axes.set_title(title, loc="left")
            draw_objects(axes, gt_boxes)
            draw_regions(axes, regions)
            _draw_boxes(axes, {name: values[rows] for name, values in candidates.items()})
    _add_legend(figure, panels, has_regions=len(regions) > 0)
    return figure


def line_widths(losses: np.ndarray) -> np.ndarray:
    """(n,) widths in points, by the logarithm of the losses."""
    low, high = np.log10(LEGEND_LOSSES[0]), np.log10(LEGEND_LOSSES[-1])
    shares = (np.log10(np.maximum(losses, 1e-12)) - low) / (high - low)
    return _THINNEST + (_THICKEST - _THINNEST) * shares.clip(0, 1)


def _draw_boxes(axes: Axes, boxes: Mapping[str, np.ndarray]) -> None:
    order = np.argsort(boxes["cls_loss"], kind="stable")  # the highest loss on top
    corners = [boxes[name][order] for name in BOX]
    patches = [
        Rectangle((x0, y0), x1 - x0, y1 - y0) for x0, y0, x1, y1 in zip(*corners, strict=True)
    ]
    colors = _COLORS(boxes["iou"][order])
    widths = line_widths(boxes["cls_loss"][order])
    axes.add_collection(
        PatchCollection(patches, facecolor="none", edgecolor=colors, linewidth=widths, zorder=2)
    )


def _add_legend(figure: Figure, panels: np.ndarray, *, has_regions: bool) -> None:
    scale = mpl.cm.ScalarMappable(Normalize(0, 1), _COLORS)
    figure.colorbar(scale, ax=panels, label="IoU with the nearest object", shrink=0.8, pad=0.02)
    handles = [
        Line2D([], [], color="black", linewidth=line_widths(np.array([loss]))[0])
        for loss in LEGEND_LOSSES
    ]
    dashed = ", dashed: ignored regions" if has_regions else ""
    figure.legend(
        handles,
        [f"{loss:g}" for loss in LEGEND_LOSSES],
        title=f"line width: classification loss; white: ground truth{dashed}",
        loc="outside lower center",
        ncols=len(LEGEND_LOSSES),
    )
