"""The outlines of the classes and of the clutter that resembles them.

An outline is a list of contours, float arrays of shape (P, 2) with x to the right and y downwards
around the origin, about 1 in radius. A contour inside another one is a hole.
"""

import math

import numpy as np
from numpy.random import Generator

Outline = list[np.ndarray]

# Number of points of a closed curve: at 64 pixels across, its corners are far smaller than a pixel.
_CURVE_POINTS = 48


def _regular(num_points: int, inner_radius: float = 1.0) -> np.ndarray:
    """A regular polygon with its first point at the top; every second one may be further inside."""
    angles = [2 * math.pi * k / num_points - math.pi / 2 for k in range(num_points)]
    radii = [inner_radius if k % 2 else 1.0 for k in range(num_points)]
    return np.array(
        [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]
    )


_SQUARE = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
_ARM = 0.36  # half the width of the cross's arms
_CORNER = np.array([(_ARM, -1.0), (_ARM, -_ARM), (1.0, -_ARM)])

_CLASS_CONTOURS = {
    "circle": _regular(_CURVE_POINTS),
    "square": _SQUARE,
    "triangle": _regular(3),
    "star": _regular(10, inner_radius=0.45),
    "cross": np.concatenate([_CORNER, _CORNER[::-1] * (1, -1), -_CORNER, _CORNER[::-1] * (-1, 1)]),
    "diamond": _SQUARE @ np.array([(0.3, 0.5), (-0.3, 0.5)]),
    "pentagon": _regular(5),
    "hexagon": _regular(6),
}

# Largest turn of an object either way, in degrees: a square on its corner would be a diamond.
_MAX_TURN = {"circle": 0.0, "square": 20.0, "diamond": 20.0}


# Share of the clutter that is the empty outline of a class.
_EMPTY_SHARE = 0.3


def class_outline(name: str, rng: Generator) -> Outline:
    """The outline of an object of class ``name``, turned at random as far as it keeps its class."""
    max_turn = _MAX_TURN.get(name, 180.0)
    return [turn(_CLASS_CONTOURS[name], rng.uniform(-max_turn, max_turn))]


def clutter_outline(class_names: tuple[str, ...], rng: Generator) -> Outline:
    """The outline of something that resembles ``class_names`` but belongs to no class."""
    if rng.random() < _EMPTY_SHARE:
        contour = _CLASS_CONTOURS[class_names[rng.integers(len(class_names))]]
        outline = [contour, contour * rng.uniform(0.6, 0.75)]
    else:
        outline = [_LOOKALIKES[rng.integers(len(_LOOKALIKES))](rng)]
    angle = rng.uniform(-180, 180)
    return [turn(contour, angle) for contour in outline]


def turn(contour: np.ndarray, degrees: float) -> np.ndarray:
    """``contour`` (P, 2) turned around the origin."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = contour[:, 0], contour[:, 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)


def _curve(start: float, stop: float, x_radius: float = 1.0, y_radius: float = 1.0) -> np.ndarray:
    """Part of an ellipse, between two angles in degrees."""
    step = math.radians(stop - start) / _CURVE_POINTS
    angles = [math.radians(start) + step * k for k in range(_CURVE_POINTS + 1)]
    return np.array([(x_radius * math.cos(a), y_radius * math.sin(a)) for a in angles])


def _open_ring(rng: Generator) -> np.ndarray:
    inner_radius, stop = rng.uniform(0.5, 0.7), rng.uniform(180, 290)
    return np.concatenate([_curve(0, stop), inner_radius * _curve(0, stop)[::-1]])


def _half_disc(rng: Generator) -> np.ndarray:
    # With some of the straight side carved out it is a crescent.
    return np.concatenate([_curve(-90, 90), _curve(90, -90, x_radius=rng.uniform(0, 0.6))])


def _ellipse(rng: Generator) -> np.ndarray:
    return _curve(0, 360, y_radius=rng.uniform(0.35, 0.55))


def _blob(rng: Generator) -> np.ndarray:
    waves = [(k, rng.uniform(0.12, 0.25), rng.uniform(0, 2 * math.pi)) for k in (2, 3, 4)]
    angles = [2 * math.pi * k / _CURVE_POINTS for k in range(_CURVE_POINTS)]
    radii = [1 + sum(size * math.cos(k * a + phase) for k, size, phase in waves) for a in angles]
    return np.array(
        [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]
    )


def _bar(rng: Generator) -> np.ndarray:
    return _SQUARE * (1.0, rng.uniform(0.2, 0.5))


def _l_shape(rng: Generator) -> np.ndarray:
    w = rng.uniform(0.45, 0.75)  # width of both strokes
    return np.array([(-1, -1), (w - 1, -1), (w - 1, 1 - w), (1, 1 - w), (1, 1), (-1, 1)])


def _u_shape(rng: Generator) -> np.ndarray:
    w, depth = rng.uniform(0.45, 0.65), rng.uniform(-0.4, 0.4)
    notch = [(1 - w, -1), (1 - w, depth), (w - 1, depth), (w - 1, -1)]
    return np.array([(-1, -1), (-1, 1), (1, 1), (1, -1), *notch])


def _trapezoid(rng: Generator) -> np.ndarray:
    top, height = rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6)
    return np.array([(-top, -height), (top, -height), (1, height), (-1, height)])


def _chevron(rng: Generator) -> np.ndarray:
    notch = rng.uniform(-0.1, 0.4)
    return np.array([(0, -1), (1, 1), (0, notch), (-1, 1)])


_LOOKALIKES = (
    _open_ring,
    _half_disc,
    _ellipse,
    _blob,
    _bar,
    _l_shape,
    _u_shape,
    _trapezoid,
    _chevron,
)
