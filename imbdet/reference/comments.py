"""What keys mean: the comments above them where they are defined, detectron2's and imbdet's."""

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator

from imbdet.reference.defaults import DETECTRON2_KEYS, IMBDET_KEYS
from imbdet.reference.sources import read_source

# A key or a group of keys, named within the config that the code builds, and the comment above it.
_Entry = tuple[str, str]


def explain_key(key: str) -> str:
    """The comment on a key, or on the nearest group of keys around it that has one.

    Args:
        key: full name, such as "MODEL.CLS_LOSS.AP.DELTA".

    Returns:
        One paragraph; empty if nothing is written about it.
    """
    comments = _all_comments()
    names = key.split(".")
    groups = [".".join(names[:i]) for i in range(len(names), 1, -1)]
    return next((comments[group] for group in groups if comments.get(group)), "")


@functools.cache
def _all_comments() -> dict[str, str]:
    comments: dict[str, str] = {}
    for module in (DETECTRON2_KEYS, IMBDET_KEYS):
        for key, comment in _Source(read_source(*module)).entries():
            comments.setdefault(key, comment)
    return comments


class _Source:
    """A module that sets keys by assignments: ``cfg.MODEL.SPEED = ...``, in functions or not.

    A group of keys may come from another function of the module, ``cfg.MODEL.SAMPLER = _node()``.
    """

    def __init__(self, text: str) -> None:
        self._tree = ast.parse(text)
        self._functions = {f.name: f for f in self._tree.body if isinstance(f, ast.FunctionDef)}
        self._comments = {  # by line, those that stand alone
            token.start[0]: token.string.lstrip("# ").rstrip("# -=")
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
        }

    def entries(self) -> Iterator[_Entry]:
        """Full names of the keys and their comments, in the order of the lines."""
        yield from self._entries_of(self._tree)
        for function in self._functions.values():
            # Others build a group of keys that gets its name where it is called.
            if any(argument.arg == "cfg" for argument in function.args.args):
                yield from self._entries_of(function)

    def _entries_of(self, block: ast.Module | ast.FunctionDef) -> Iterator[_Entry]:
        comment, last_line = "", -1
        for statement in block.body:
            if not isinstance(statement, ast.Assign):
                continue
            # Keys that follow each other without an empty line share what is written above them.
            above = self._comment_above(statement.lineno)
            if above or statement.lineno > last_line + 1:
                comment = above
            last_line = statement.end_lineno or statement.lineno
            for target in statement.targets:
                key = _dotted_name(target)
                if key:
                    yield key, comment
                    yield from self._nested(key, statement.value)

    def _nested(self, key: str, value: ast.expr) -> Iterator[_Entry]:
        match value:
            case ast.Call(func=ast.Name(id=name)) if name in self._functions:
                for child, comment in self._entries_of(self._functions[name]):
                    yield f"{key}.{child}", comment

    def _comment_above(self, line: int) -> str:
        lines: list[str] = []
        while (line := line - 1) in self._comments:
            lines.insert(0, self._comments[line])
        return re.sub(r"\s+", " ", " ".join(lines)).strip()


def _dotted_name(target: ast.expr) -> str:
    """ "MODEL.SPEED" of ``cfg.MODEL.SPEED``; empty for a plain name."""
    names: list[str] = []
    while isinstance(target, ast.Attribute):
        names.insert(0, target.attr)
        target = target.value
    return ".".join(names)
