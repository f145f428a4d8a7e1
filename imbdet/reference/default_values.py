"""All keys and their defaults, detectron2's and imbdet's."""

import ast
import functools
from typing import Any

from imbdet.methods.options import Option
from imbdet.reference.declared_keys import imbdet_keys
from imbdet.reference.declared_methods import read_registries
from imbdet.reference.sources import read_source

DETECTRON2_KEYS = ("detectron2", "config/defaults.py")


class _Node(dict[str, Any]):
    """A group of keys, with what detectron2's defaults need of yacs's ``CfgNode``."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.setdefault(name, _Node())

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


@functools.cache
def own_keys() -> dict[str, Option]:
    """The keys of imbdet by name."""
    return {key.name: key for key in imbdet_keys(read_registries())}


@functools.cache
def default_config() -> dict[str, Any]:
    """The keys of a config in their groups; without detectron2, those of imbdet alone."""
    tree = ast.parse(read_source(*DETECTRON2_KEYS))
    tree.body = [statement for statement in tree.body if not isinstance(statement, ast.ImportFrom)]
    names: dict[str, Any] = {"CN": _Node}
    exec(compile(tree, "<defaults>", "exec"), names)
    root = names.get("_C", _Node())
    for key in own_keys().values():
        *groups, name = key.name.split(".")
        node = functools.reduce(getattr, groups, root)
        node.setdefault(name, key.default)
    return dict(root)
