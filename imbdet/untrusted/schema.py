"""The form that a value from a file must have, declared beside the code that uses the value.

A form is a type or a tuple of types; ``[form]`` is a list or tuple of any length; ``{name: form}``
a dict that has these names and possibly others. :class:`Each` and :class:`Row` are for the rest. A
boolean is no number here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imbdet.errors import UserError

NUMBER = (int, float)


@dataclass(frozen=True)
class Each:
    """A dict whose names are texts and whose values all have the form."""

    form: Any


@dataclass(frozen=True)
class Row:
    """A list or tuple of a fixed number of values, each of its own form."""

    forms: tuple[Any, ...]


@dataclass(frozen=True)
class Maybe:
    """The form of a value whose name may be missing in a dict."""

    form: Any


def require_form(value: Any, form: Any, name: str) -> None:
    """Refuse a value of another form.

    Args:
        value: value to check, as deep as the form goes.
        form: form that it must have.
        name: name of the value, for the message.

    Raises:
        UserError: a part differs; the message names the first, such as "trainer.iteration".
    """
    if isinstance(form, Each):
        _require_type(value, dict, name)
        for key, part in value.items():
            _require_type(key, str, f"a name in {name}")
            require_form(part, form.form, f"{name}.{key}")
    elif isinstance(form, Mapping):
        _require_type(value, dict, name)
        for key, part_form in form.items():
            if isinstance(part_form, Maybe):
                if key not in value:
                    continue
                part_form = part_form.form
            elif key not in value:
                raise UserError(f"it has no {name}.{key}.")
            require_form(value[key], part_form, f"{name}.{key}")
    elif isinstance(form, Row):
        _require_type(value, (list, tuple), name)
        if len(value) != len(form.forms):
            raise UserError(f"its {name} has {len(value)} values, not {len(form.forms)}.")
        for index, (part, part_form) in enumerate(zip(value, form.forms, strict=True)):
            require_form(part, part_form, f"{name}[{index}]")
    elif isinstance(form, list):
        _require_type(value, (list, tuple), name)
        for index, part in enumerate(value):
            require_form(part, form[0], f"{name}[{index}]")
    else:
        _require_type(value, form, name)


def _require_type(value: Any, types: type | tuple[type, ...], name: str) -> None:
    types = types if isinstance(types, tuple) else (types,)
    is_right = bool in types if isinstance(value, bool) else isinstance(value, types)
    if not is_right:
        wanted = " or ".join(kind.__name__ for kind in types)
        raise UserError(f"its {name} is of type {type(value).__name__}, not {wanted}.")
