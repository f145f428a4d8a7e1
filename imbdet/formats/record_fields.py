"""Rules for the fields of the records in an annotation file, such as ids and sizes."""

import os
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

# Field -> (whether a value is right, what it should be).
Fields = Mapping[str, tuple[Callable[[Any], bool], str]]

# Larger integers do not fit into an array.
_MAX_WHOLE = 2**63
_MAX_SIDE = 2**31


def find_bad_record(content: dict[str, Any], name: str, fields: Fields) -> str | None:
    """The first record of a list, in words, that lacks one of the ``fields`` or has a wrong one."""
    for index, record in enumerate(content[name]):
        if not isinstance(record, dict):
            return f"{name}[{index}] is {reprlib.repr(record)}, not an object"
        for field, (is_right, form) in fields.items():
            if field not in record:
                return f"{name_record(content, name, index)} has no '{field}'"
            if not is_right(record[field]):
                value = reprlib.repr(record[field])
                return f"{name_record(content, name, index)} has {field} {value}, not {form}"
    return None


def name_record(content: dict[str, Any], name: str, index: int) -> str:
    """A record of a list by its place and id."""
    return f"{name}[{index}] (id {reprlib.repr(content[name][index].get('id'))})"


def is_file_name(value: Any) -> bool:
    """Whether a value can be the name of a file."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _is_whole(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def _is_number(value: Any) -> bool:
    return _is_whole(value) and -_MAX_WHOLE <= value < _MAX_WHOLE


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)


def _is_side(value: Any) -> bool:
    return _is_whole(value) and 0 < value < _MAX_SIDE


ID = (_is_id, "a whole number of at most 64 bits")
# Texts are refused, as COCO's evaluation puts these ids into arrays of numbers.
CATEGORY_ID = (_is_number, "a whole number of at most 64 bits")
SIDE = (_is_side, "a whole number of pixels above 0")
FILE_NAME = (is_file_name, "the name of a file")
TEXT = (lambda value: isinstance(value, str), "a text")
BOX = (lambda value: isinstance(value, list) and value != [], "a list of four numbers")
