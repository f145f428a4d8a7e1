"""Annotations that are neither objects nor background."""

from collections.abc import Mapping
from typing import Any


def ignored(note: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of an annotation with ``ignore``, and without a weight, which would have no effect."""
    return {name: value for name, value in note.items() if name != "weight"} | {"ignore": 1}
