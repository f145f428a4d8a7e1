"""A small synthetic detection data set with a long tail, clutter, crowds and label noise."""

from imbdet.data.shapes.catalog import register_shapes
from imbdet.data.shapes.options import CLASS_NAMES, ShapesOptions

__all__ = ["CLASS_NAMES", "ShapesOptions", "register_shapes"]
