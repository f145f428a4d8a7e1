"""Meanings of keys: imbdet's declarations, and detectron2's comments above its keys."""

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator

from imbdet.reference.default_values import DETECTRON2_KEYS, own_keys
from imbdet.reference.sources import read_source


def explain_key(key: str) -> str:
    """The meaning of a key; that of the nearest group if detectron2 does not explain the key.

    Args:
        key: full name, such as "MODEL.CLS_LOSS.AP.DELTA".

    Returns:
        One paragraph; empty if nothing is written about it.
    """
    if key in own_keys():
        return f"{own_keys()[key].meaning}."
    comments = _detectron2_comments()
    names = key.split(".")
    groups = [".".join(names[:i]) for i in range(len(names), 1, -1)]
    return next((comments[group] for group in groups if comments.get(group)), "")


def range_of(key: str) -> str:
    """The range of a number, such as "at least 0"; empty where none is declared."""
    return str(own_keys()[key].range or "") if key in own_keys() else ""


@functools.cache
def _detectron2_comments() -> dict[str, str]:
    return dict(_comments(read_source(*DETECTRON2_KEYS)))


def _comments(text: str) -> Iterator[tuple[str, str]]:
    """Keys of a module that sets them by ``_C.MODEL.DEVICE = ...``, and the comments above."""
    comments = {  # by line, those that stand alone
        token.start[0]: token.string.lstrip("# ").rstrip("# -=")
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
    }
    comment, last_line = "", -1
    for statement in ast.parse(text).body:
        if not isinstance(statement, ast.Assign):
            continue
        lines: list[str] = []
        while (line := statement.lineno - len(lines) - 1) in comments:
            lines.insert(0, comments[line])
        # Keys that follow each other without an empty line share what is written above them.
        if any(lines) or statement.lineno > last_line + 1:
            comment = re.sub(r"\s+", " ", " ".join(lines)).strip()
        last_line = statement.end_lineno or statement.lineno
        for target in statement.targets:
            _, _, key = ast.unparse(target).partition(".")
            if key:
                yield key, comment
