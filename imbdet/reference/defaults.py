"""All keys and their defaults, detectron2's and imbdet's."""

import ast
import functools
from typing import Any

from imbdet.reference.sources import read_source

DETECTRON2_KEYS = ("detectron2", "config/defaults.py")
IMBDET_KEYS = ("imbdet", "config/defaults.py")


class _Node(dict[str, Any]):
    """A group of keys: what the sources ask of yacs's ``CfgNode``, and nothing else."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.setdefault(name, _Node())

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


@functools.cache
def default_config() -> dict[str, Any]:
    """The keys of a config in their groups; without detectron2, those of imbdet alone."""
    root = _run(read_source(*DETECTRON2_KEYS), CN=_Node).get("_C", _Node())
    _run(read_source(*IMBDET_KEYS), CfgNode=_Node)["add_imbdet_config"](root)
    return dict(root)


def _run(source: str, **names: Any) -> dict[str, Any]:
    """The names of a module after it was run with ``names`` in place of its imports of them."""
    tree = ast.parse(source)
    tree.body = [
        statement
        for statement in tree.body
        if not isinstance(statement, ast.ImportFrom)
        or {alias.asname or alias.name for alias in statement.names} - names.keys()
    ]
    exec(compile(tree, "<defaults>", "exec"), names)
    return names
