"""Pictures of suspects: a part of the image with the annotated and the proposed box."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from detectron2.data.detection_utils import read_image
from PIL import Image

from imbdet.evaluation.marked_images import Mark, draw_panel
from imbdet.files import replacing
from imbdet.suspects import Suspect

_ANNOTATED, _PROPOSED, _PARTNER = (255, 196, 0), (64, 196, 255), (255, 255, 255)
# Margins on each side of the boxes: in relation to their size, and the least, in pixels.
_MARGIN, _MIN_MARGIN = 0.75, 24
_QUALITY = 85


def save_crop(suspect: Suspect, classes: Sequence[str], image: Path, path: Path) -> None:
    """Draw a suspect as WebP, complete or not at all.

    Args:
        suspect: the suspect to draw.
        classes: names, by class number.
        image: file of the image.
        path: file of the picture.

    Raises:
        OSError: the image is gone or damaged.
        UserError: the picture cannot be written.
    """
    picture = draw_crop(suspect, classes, read_image(str(image), "RGB"))
    with replacing(path) as draft:
        picture.save(draft, format="WEBP", quality=_QUALITY)


def draw_crop(suspect: Suspect, classes: Sequence[str], pixels: np.ndarray) -> Image.Image:
    """The part of an image, (H, W, 3) uint8, around a suspect."""
    known = _marks(suspect, classes)
    left, top, right, bottom = _window(np.array([box for box, *_ in known]), pixels.shape)
    marks = [
        Mark((x0 - left, y0 - top, x1 - x0, y1 - y0), label, color, is_dashed)
        for (x0, y0, x1, y1), label, color, is_dashed in known
    ]
    return draw_panel(pixels[top:bottom, left:right], marks, f"score {suspect.score:.2f}")


def _marks(
    suspect: Suspect, classes: Sequence[str]
) -> list[tuple[Sequence[float], str, tuple[int, int, int], bool]]:
    """Boxes, labels and colours, and whether lines are dashed: those of proposals are."""
    marks: list[tuple[Sequence[float], str, tuple[int, int, int], bool]] = []
    index = suspect.class_index if suspect.proposed_class is None else suspect.proposed_class
    if suspect.proposed_box is not None and index is not None:
        marks.append((suspect.proposed_box, f"proposed: {classes[index]}", _PROPOSED, True))
    if suspect.box is not None and suspect.class_index is not None:
        label = f"annotated: {classes[suspect.class_index]}"
        if suspect.proposed_class is not None:
            label += f", proposed: {classes[suspect.proposed_class]}"
        marks.append((suspect.box, label, _ANNOTATED, False))
    if suspect.partner_box is not None:
        marks.append((suspect.partner_box, f"annotated: {suspect.partner}", _PARTNER, False))
    return marks


def _window(boxes: np.ndarray, shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part that is shown, at least a pixel of the image."""
    start, end = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    margin = np.maximum(_MARGIN * (end - start), _MIN_MARGIN)
    size = np.array(shape[1::-1])
    low = np.clip(np.floor(start - margin), 0, size - 1).astype(int)
    high = np.maximum(np.clip(np.ceil(end + margin), 0, size), low + 1).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
