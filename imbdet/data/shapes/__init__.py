"""A small synthetic detection data set with a long tail, clutter, crowds and faulty labels."""

from imbdet.data.shapes.shapes_catalog import register_shapes
from imbdet.data.shapes.shapes_options import CLASS_NAMES, ShapesOptions

__all__ = ["CLASS_NAMES", "ShapesOptions", "register_shapes"]
