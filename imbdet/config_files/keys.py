"""The keys of a config by their full names, such as "MODEL.CLS_LOSS.NAME"."""

import difflib
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from imbdet.errors import suggest

# Keys that each of several trainings sets for itself.
OF_TRAININGS = ("SEED", "OUTPUT_DIR")
# numpy's generators take no higher seed.
MAX_SEED = 2**32 - 1


def get_key(cfg: Any, key: str) -> Any:
    """Value of a dotted key such as "MODEL.CLS_LOSS.NAME"."""
    return functools.reduce(getattr, key.split("."), cfg)


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Full name and value of each key that is no group of keys."""
    for name, value in node.items():
        if isinstance(value, dict):  # as a CfgNode is
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def changed_keys(cfg: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The values in ``base`` and in ``cfg`` of each key for which they differ, by full name."""
    values = dict(leaves(base))
    return {key: [values.get(key), value] for key, value in leaves(cfg) if values.get(key) != value}


def suggest_key(cfg: Mapping[str, Any], key: str) -> str:
    """A sentence with the keys that may have been meant."""
    key = key.upper()
    keys = [other for other, _ in leaves(cfg)]
    # First the same name in another place, of a key or of a group, then a similar spelling.
    name = f".{key.split('.')[-1]}"
    options = [other for other in keys if f".{other}".endswith(name)]
    options = options or [
        other[: other.index(name) + len(name)] for other in keys if f"{name}." in other
    ]
    options = options or difflib.get_close_matches(key, [*keys, *_groups(keys)], cutoff=0.5)
    options = options or list(cfg)
    return suggest(key, options)


def _groups(keys: Iterable[str]) -> set[str]:
    """The groups that contain the keys, at all depths."""
    return {key[:i] for key in keys for i, letter in enumerate(key) if letter == "."}
