"""Draws the images: background, objects, clutter, and which pixels remain visible.

The same options give the same pixels everywhere. Each image has a random generator of its own, so
that it does not depend on the number of images, and colours are computed in float64, so that
machines that differ in the last digit round to the same result.
"""

import colorsys
import dataclasses
import math

import cv2
import numpy as np
from numpy.random import PCG64, Generator

from imbdet.data.shapes.geometry import Outline, class_outline, clutter_outline, turn
from imbdet.data.shapes.shapes_options import ShapesOptions

# Number of samples across a pixel, for smooth edges.
_OVERSAMPLING = 8
# Share of an item that has to remain visible, and that may not cover other items.
_MIN_VISIBLE = 0.7
# Number of attempts to find a place for an item; in the second half it has the smallest size.
_MAX_ATTEMPTS = 40
# Distance of an object's colour from its backdrop; black and white are 441 apart.
_MIN_CONTRAST = 70.0
# Largest change of a pixel's values in [0, 255] by noise.
_GRAIN = 5.0


@dataclasses.dataclass(frozen=True)
class PlannedItem:
    """An item to be drawn: an object of a class, or clutter if ``category`` is None."""

    category: int | None  # [0, K)
    is_crowd: bool = False


@dataclasses.dataclass(frozen=True)
class DrawnObject:
    """An object, or a crowd of objects of one class, as it appears in an image."""

    category: int  # [0, K)
    is_crowd: bool
    mask: np.ndarray  # bool, (H, W) of the whole image: its visible pixels


@dataclasses.dataclass(frozen=True)
class Drawing:
    """An image and the objects in it."""

    pixels: np.ndarray  # uint8, (H, W, 3), RGB
    objects: list[DrawnObject]
    num_clutter: int
    num_left_out: int  # planned items that found no place


def image_rng(options: ShapesOptions, split: str, index: int, purpose: str) -> Generator:
    """The generator of random numbers of one image.

    The numbers for a ``purpose``, "scene" or a kind of fault ("labels", "boxes", "missing",
    "duplicates"), do not depend on how many are drawn for others.
    """
    split_id = {"train": 0, "val": 1}[split]
    purpose_id = {"scene": 0, "labels": 1, "boxes": 2, "missing": 3, "duplicates": 4}[purpose]
    return Generator(PCG64([options.seed, split_id, index, purpose_id]))


def plan_scene(options: ShapesOptions, split: str, rng: Generator) -> list[PlannedItem]:
    """The items that an image is to contain, from back to front."""
    frequencies = np.array(options.class_frequencies)
    if split == "val":
        frequencies = np.ones_like(frequencies)
    is_empty = rng.random() < options.empty_fraction
    # Uniform from 1 to 2 * mean - 1.
    num_objects = _round_at_random(1 + rng.random() * 2 * (options.objects_per_image - 1), rng)
    num_clutter = _round_at_random(num_objects * options.clutter_ratio, rng)
    items = [PlannedItem(category=None) for _ in range(num_clutter)]
    for _ in range(0 if is_empty else num_objects):
        category = int(rng.choice(len(frequencies), p=frequencies / frequencies.sum()))
        items.append(PlannedItem(category, is_crowd=rng.random() < options.crowd_fraction))
    return [items[k] for k in np.argsort(rng.random(len(items)))]


def draw_image(options: ShapesOptions, split: str, index: int) -> Drawing:
    """Draw one image of a split, "train" or "val"; ``index`` counts from 0."""
    rng = image_rng(options, split, index, "scene")
    items = plan_scene(options, split, rng)
    canvas = _Canvas(_background(options.image_size, rng))
    placed = [item for item in items if _add_item(canvas, item, options, rng)]
    objects = [
        DrawnObject(item.category, item.is_crowd, canvas.visible_mask(k))
        for k, item in enumerate(placed)
        if item.category is not None
    ]
    return Drawing(
        pixels=canvas.develop(rng),
        objects=objects,
        num_clutter=len(placed) - len(objects),
        num_left_out=len(items) - len(placed),
    )


def _round_at_random(value: float, rng: Generator) -> int:
    """One of the two whole numbers around ``value``, such that the mean is ``value``."""
    return math.floor(value + rng.random())


class _Canvas:
    """An unfinished image, which stores the item on top of each pixel."""

    def __init__(self, background: np.ndarray) -> None:
        self._pixels = background  # float64, (H, W, 3)
        self._owner = np.full(background.shape[:2], -1)  # [H, W]
        self._num_pixels: list[int] = []  # area of each item if nothing covered it

    def has_place(self, mask: np.ndarray, x: int, y: int) -> bool:
        """Whether an item (h, w) fits at (x, y) without hiding or being lost in another one."""
        covered = self._owner[y : y + mask.shape[0], x : x + mask.shape[1]][mask]
        covered = covered[covered >= 0]
        if covered.size > (1 - _MIN_VISIBLE) * mask.sum():
            return False
        for item in np.unique(covered):
            num_visible = (self._owner == item).sum() - (covered == item).sum()
            if num_visible < _MIN_VISIBLE * self._num_pixels[item]:
                return False
        return True

    def backdrop(self, height: int, width: int, x: int, y: int) -> np.ndarray:
        """The mean colour (3,) of a window."""
        return self._pixels[y : y + height, x : x + width].mean(axis=(0, 1))

    def paint(self, layers: np.ndarray, colours: np.ndarray, x: int, y: int) -> None:
        """Add an item at (x, y).

        Args:
            layers: opacity of its parts, (P, h, w) in [0, 1].
            colours: colours of its parts, (P, h, w, 3) in [0, 255].
        """
        height, width = layers.shape[1:]
        window = self._pixels[y : y + height, x : x + width]
        for layer, colour in zip(layers, colours, strict=True):
            window += layer[:, :, None] * (colour - window)
        mask = _mask_of(layers)
        self._owner[y : y + height, x : x + width][mask] = len(self._num_pixels)
        self._num_pixels.append(int(mask.sum()))

    def visible_mask(self, item: int) -> np.ndarray:
        return self._owner == item

    def develop(self, rng: Generator) -> np.ndarray:
        """The finished image, uint8 (H, W, 3)."""
        grain = rng.uniform(-_GRAIN, _GRAIN, self._owner.shape)
        return np.rint((self._pixels + grain[:, :, None]).clip(0, 255)).astype(np.uint8)


def _add_item(canvas: _Canvas, item: PlannedItem, options: ShapesOptions, rng: Generator) -> bool:
    """Draw ``item``, and return whether there was a place for it."""
    smallest, largest = options.object_size
    size = smallest * (largest / smallest) ** rng.random()
    for attempt in range(_MAX_ATTEMPTS):
        if attempt == _MAX_ATTEMPTS // 2:
            size = smallest
        layers = _rasterize(_outlines(item, options, size, rng))
        height, width = layers.shape[1:]
        if max(height, width) > options.image_size:
            continue
        x = int(rng.integers(options.image_size - width + 1))
        y = int(rng.integers(options.image_size - height + 1))
        if canvas.has_place(_mask_of(layers), x, y):
            backdrop = canvas.backdrop(height, width, x, y)
            canvas.paint(layers, _colours(layers, backdrop, rng), x, y)
            return True
    return False


def _outlines(
    item: PlannedItem, options: ShapesOptions, size: float, rng: Generator
) -> list[Outline]:
    """The outlines of an item's parts, in pixels; ``size`` is the longer side of a part's box."""
    if item.category is None:
        return [_resize(clutter_outline(options.class_names, rng), size)]
    name = options.class_names[item.category]
    if not item.is_crowd:
        return [_resize(class_outline(name, rng), size)]
    # Members are arranged like sunflower seeds: each touches its neighbours. Members are small, as
    # a crowd is several times larger than they are.
    size = min(size, max(options.object_size[0], options.image_size / 8))
    outlines = []
    for k in range(rng.integers(5, 11)):
        centre = turn(np.array([(0.5 * size * math.sqrt(k), 0.0)]), 137.5 * k)
        member = _resize(class_outline(name, rng), size * rng.uniform(0.75, 1.0))
        outlines.append([contour + centre for contour in member])
    return outlines


def _resize(outline: Outline, size: float) -> Outline:
    scale = size / np.ptp(outline[0], axis=0).max()
    return [contour * scale for contour in outline]


def _rasterize(outlines: list[Outline]) -> np.ndarray:
    """The share of each pixel that lies within each of P outlines, (P, h, w)."""
    points = np.concatenate([contour for outline in outlines for contour in outline])
    origin = points.min(axis=0)
    width, height = np.ceil(points.max(axis=0) - origin).astype(int) + 1
    layers = []
    for outline in outlines:
        samples = np.zeros((height * _OVERSAMPLING, width * _OVERSAMPLING), np.uint8)
        contours = [np.rint((contour - origin) * _OVERSAMPLING) for contour in outline]
        cv2.fillPoly(samples, [contour.astype(np.int32) for contour in contours], 1)
        rows = samples.reshape(height, _OVERSAMPLING, -1).sum(axis=1, dtype=np.uint8)
        counts = rows.reshape(height, width, _OVERSAMPLING).sum(axis=2, dtype=np.uint8)
        layers.append(counts / _OVERSAMPLING**2)
    return np.stack(layers)


def _mask_of(layers: np.ndarray) -> np.ndarray:
    """The pixels (h, w) that belong to an item: those it covers by half or more."""
    return layers.max(axis=0) >= 0.5


def _colours(layers: np.ndarray, backdrop: np.ndarray, rng: Generator) -> np.ndarray:
    """The colours (P, h, w, 3) of an item's parts, which are similar and lighter on one side."""
    num_layers, height, width = layers.shape
    for _ in range(10):
        # The contrast is low where the random colour is close to the backdrop or mixed with much of
        # it.
        colour = _random_colour(rng, saturation=(0.3, 0.95), value=(0.25, 1.0))
        colour = backdrop + rng.uniform(0.6, 1.0) * (colour - backdrop)
        if math.dist(colour, backdrop) >= _MIN_CONTRAST:
            break
    angle = rng.uniform(-math.pi, math.pi)
    shading = 1 + 0.15 * _ramp(height, width, angle)
    brightness = rng.uniform(0.8, 1.2, num_layers) if num_layers > 1 else np.ones(1)
    return brightness[:, None, None, None] * shading[:, :, None] * colour


def _background(size: int, rng: Generator) -> np.ndarray:
    """A gradient between two muted colours with smooth clouds, float64 (size, size, 3)."""
    start = _random_colour(rng, saturation=(0.05, 0.45), value=(0.3, 0.95))
    stop = _random_colour(rng, saturation=(0.05, 0.45), value=(0.3, 0.95))
    # Clouds of ever finer structure and ever lower contrast.
    clouds = np.zeros((size, size))
    for cells, strength in ((3, 1.0), (6, 0.5), (12, 0.3), (24, 0.2)):
        noise = rng.uniform(-strength, strength, (cells, cells))
        clouds += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    ramp = _ramp(size, size, rng.uniform(-math.pi, math.pi))
    mix = (0.5 + 0.4 * ramp + 0.25 * clouds).clip(0, 1)[:, :, None]
    light = rng.uniform(5, 25) * clouds[:, :, None]
    return start + mix * (stop - start) + light


def _ramp(height: int, width: int, angle: float) -> np.ndarray:
    """A plane (h, w) that rises from -1 to 1 along a direction ``angle``, in radians."""
    x = np.linspace(-1, 1, width) * math.cos(angle)
    y = np.linspace(-1, 1, height) * math.sin(angle)
    return (x[None, :] + y[:, None]) / (abs(math.cos(angle)) + abs(math.sin(angle)))


def _random_colour(
    rng: Generator, saturation: tuple[float, float], value: tuple[float, float]
) -> np.ndarray:
    """A colour (3,) in [0, 255] of any hue, with saturation and value from their ranges."""
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return 255 * np.array(rgb)
