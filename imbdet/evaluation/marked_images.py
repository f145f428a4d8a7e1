"""Draws labelled boxes on an image."""

import colorsys
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]  # RGB
Size = tuple[int, int]  # width, height
Corners = tuple[int, int, int, int]  # left, top, right, bottom; a pixel at right is inside

# Small images are enlarged until boxes and labels are readable, huge ones reduced.
_MIN_SHORT_SIDE = 400
_MAX_LONG_SIDE = 1600
_GAP = 8
_DASH = 8
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
# Pillow's own font has few letters beyond English; this one has Greek and Cyrillic, too.
_FONT_FILE = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@dataclass(frozen=True)
class Mark:
    """An object to draw: its box XYWH in pixels of the image, and its label.

    With an empty label the box is a thin line, for one of many.
    """

    box: Sequence[float]
    label: str
    color: Color
    is_dashed: bool = False


def class_color(index: int) -> Color:
    """A light and strong color, far from those of the next and the previous index."""
    # Steps by the golden ratio keep all hues so far about equally far apart.
    hue = (0.58 + index * 0.618034) % 1
    return tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, 0.75, 1.0))


def draw_panel(pixels: np.ndarray, marks: Sequence[Mark], title: str) -> Image.Image:
    """The image with its marks, enlarged if it is small, under a line with the title.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        marks: marks, the most important first: each is drawn over those after it.
        title: one short line.
    """
    scale = _choose_scale(*pixels.shape[:2])
    width, height = (max(1, round(side * scale)) for side in pixels.shape[1::-1])
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    font = ImageFont.truetype(_FONT_FILE, max(12, min(image.size) // 36))
    draw = ImageDraw.Draw(image)
    boxes = [_to_corners(mark.box, scale, image.size) for mark in marks]
    for mark, box in reversed(list(zip(marks, boxes, strict=True))):
        _draw_box(draw, box, mark, max(2, min(image.size) // 250))
    named = [(mark, box) for mark, box in zip(marks, boxes, strict=True) if mark.label]
    sizes = [_measure(mark.label, font) for mark, _ in named]
    labels = _place_labels(sizes, [box for _, box in named], image.size)
    for (mark, _), label in reversed(list(zip(named, labels, strict=True))):
        _draw_label(draw, label, mark, font)
    return _add_title(image, title, font)


def join_panels(panels: Sequence[Image.Image]) -> Image.Image:
    """Join panels of one height side by side."""
    width = sum(panel.width for panel in panels) + _GAP * (len(panels) - 1)
    picture = Image.new("RGB", (width, panels[0].height), _WHITE)
    left = 0
    for panel in panels:
        picture.paste(panel, (left, 0))
        left += panel.width + _GAP
    return picture


def _choose_scale(height: int, width: int) -> float:
    enlarged = max(1.0, _MIN_SHORT_SIDE / min(height, width))
    return min(enlarged, _MAX_LONG_SIDE / max(height, width))


def _to_corners(box: Sequence[float], scale: float, size: Size) -> Corners:
    left, top, width, height = (value * scale for value in box)
    x0, x1 = (_clip(x, size[0] - 1) for x in (left, left + width - 1))
    y0, y1 = (_clip(y, size[1] - 1) for y in (top, top + height - 1))
    return x0, y0, max(x0, x1), max(y0, y1)


def _clip(value: float, upper: int) -> int:
    return max(0, min(round(value), upper))


def _measure(text: str, font: ImageFont.FreeTypeFont) -> Size:
    return round(font.getlength(text)) + 4, sum(font.getmetrics())


def _place_labels(
    sizes: Sequence[Size], boxes: Sequence[Corners], image_size: Size
) -> list[Corners]:
    """Place each label where no earlier one is if possible, beside its box rather than on it."""
    placed: list[Corners] = []
    for size, box in zip(sizes, boxes, strict=True):
        places = [_shift_inside(place, size, image_size) for place in _places_around(box, size)]
        places.sort(key=lambda place: _overlap(place, box))
        free = (place for place in places if not any(_overlap(place, other) for other in placed))
        placed.append(next(free, places[0]))
    return placed


def _places_around(box: Corners, size: Size) -> Iterator[tuple[int, int]]:
    """Left top corners of a label above, below and at the top inside of a box."""
    left, top, right, bottom = box
    width, height = size
    xs, ys = (left, right + 1 - width), (top - height, bottom + 1, top)
    return ((x, y) for y, x in itertools.product(ys, xs))


def _shift_inside(place: tuple[int, int], size: Size, image_size: Size) -> Corners:
    left, top = (
        _clip(start, whole - length)
        for start, length, whole in zip(place, size, image_size, strict=True)
    )
    return left, top, left + size[0] - 1, top + size[1] - 1


def _overlap(first: Corners, second: Corners) -> bool:
    return all(
        first[axis] <= second[axis + 2] and second[axis] <= first[axis + 2] for axis in (0, 1)
    )


def _draw_box(draw: ImageDraw.ImageDraw, box: Corners, mark: Mark, width: int) -> None:
    if not mark.label:
        draw.rectangle(box, outline=mark.color)
        return
    # A black rim makes any color visible on any background.
    left, top, right, bottom = box
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_BLACK, width=width + 2)
    draw.rectangle(box, outline=mark.color, width=width)
    if mark.is_dashed:
        for gap in _dash_gaps(box, width):
            draw.rectangle(gap, fill=_BLACK)


def _dash_gaps(box: Corners, width: int) -> Iterator[Corners]:
    left, top, right, bottom = box
    for x in range(left + _DASH, right, 2 * _DASH):
        end = min(x + _DASH, right + 1) - 1
        yield x, top, end, top + width - 1
        yield x, bottom - width + 1, end, bottom
    for y in range(top + _DASH, bottom, 2 * _DASH):
        end = min(y + _DASH, bottom + 1) - 1
        yield left, y, left + width - 1, end
        yield right - width + 1, y, right, end


def _draw_label(
    draw: ImageDraw.ImageDraw, place: Corners, mark: Mark, font: ImageFont.FreeTypeFont
) -> None:
    draw.rectangle(place, fill=mark.color, outline=_BLACK)
    ink = _BLACK if _luminance(mark.color) > 130 else _WHITE
    draw.text((place[0] + 2, place[1]), mark.label, fill=ink, font=font)


def _luminance(color: Color) -> float:
    red, green, blue = color
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _add_title(image: Image.Image, title: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    height = sum(font.getmetrics()) + 4
    panel = Image.new("RGB", (image.width, image.height + height), _WHITE)
    ImageDraw.Draw(panel).text((2, 2), title, fill=_BLACK, font=font)
    panel.paste(image, (0, height))
    return panel
