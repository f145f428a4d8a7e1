"""Read untrusted files; errors are an OSError or a ValueError with a message for the user.

A device never ends and a pipe waits for a writer, so only regular files are opened. Other
exceptions of Python's own readers, such as for endless nesting, become a ValueError.
"""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from imbdet.errors import suggest


class TooLarge(ValueError):  # noqa: N818  (as ValueError, of which it is one)
    """A file has more bytes than its reader takes."""


def require_file(path: str | os.PathLike[str]) -> None:
    """Refuse what is no regular file, without opening it.

    Raises:
        OSError: the path does not exist, or is a folder, a device, a pipe or a socket; ``strerror``
            says which.
    """
    path = os.fspath(path)
    if "\0" in path:
        raise OSError(errno.EINVAL, "its name has a NUL byte", path)
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file", path)


def read_text(path: Path, *, max_bytes: float = float("inf"), errors: str = "strict") -> str:
    """The content of a text file in UTF-8.

    Args:
        path: path of the file.
        max_bytes: size limit in bytes.
        errors: what to do with bytes that are no text, as for ``bytes.decode``.

    Raises:
        OSError: the path is no file or cannot be read.
        TooLarge: the file is larger than ``max_bytes``.
        ValueError: the file is no text.
    """
    require_file(path)
    if path.stat().st_size > max_bytes:
        raise TooLarge(f"it has more than {max_bytes:,.0f} bytes")
    return path.read_text(encoding="utf-8", errors=errors)


def parse_json(text: str | bytes) -> Any:
    """The content of a text in JSON; NaN and Infinity are read as such.

    Raises:
        ValueError: the text is damaged, nested too deep, or has a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    except ValueError as error:  # Python's limit of digits
        raise ValueError("it has a number of thousands of digits") from error


def read_json(path: Path, *, max_bytes: float = float("inf")) -> Any:
    """The content of a JSON file; see :func:`parse_json` and :func:`read_text`."""
    return parse_json(read_text(path, max_bytes=max_bytes))


def read_json_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The objects of a file with one in each line, and the number of damaged lines.

    Raises:
        OSError: the path is no file or cannot be read.
    """
    lines = read_text(path, errors="replace").splitlines()
    found = [_parse_object(line) for line in lines if line.strip()]
    whole = [record for record in found if record is not None]
    return whole, len(found) - len(whole)


def _parse_object(line: str) -> dict[str, Any] | None:
    try:
        record = parse_json(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def suggest_file(path: str, suffixes: tuple[str, ...]) -> str:
    """A sentence with the files in the folder of a missing ``path`` that have nearly its name."""
    folder, name = os.path.split(path)
    if not os.path.isdir(folder or "."):
        return f"There is no folder '{folder}'."
    files = [other for other in os.listdir(folder or ".") if other.endswith(suffixes)]
    if not files:
        return f"'{folder or '.'}' has no file that ends in {' or '.join(suffixes)}."
    # Names are compared without suffixes, which are alike: `cells.yaml` is not near `CE.yaml`.
    return suggest(name, files, lambda file: os.path.splitext(file)[0])
