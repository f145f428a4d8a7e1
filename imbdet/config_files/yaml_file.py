"""Read one YAML file of a config, or a tree of them, into entries with their lines.

Files are named by path, imbdet's own also by address (``imbdet://PISA.yaml``).
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from imbdet.config_files.addresses import resolve
from imbdet.errors import UserError
from imbdet.untrusted.plain_yaml import MAX_BYTES, PlainLoader, TagError
from imbdet.untrusted.reading import read_text, suggest_file

# The name of this key in fvcore.
BASE_KEY = "_BASE_"

# Limit of the bases of one file: with two bases each, thirty levels are a billion files.
MAX_BASES = 100

# What messages call a file of a config.
_CONFIG = "Config file"

# The anchor sizes of detectron2's RetinaNet, which its config has Python compute.
_RETINANET_SIZES_CODE = "[[x, x * 2**(1.0/3), x * 2**(2.0/3) ] for x in [32, 64, 128, 256, 512 ]]"
_RETINANET_SIZES = [[x * 2 ** (i / 3) for i in range(3)] for x in (32, 64, 128, 256, 512)]


class Entry(NamedTuple):
    """The value of a key that is no group of keys, or an empty group.

    Attributes:
        names: names of the groups that the key is in, then its own.
        value: value as YAML reads it.
        where: file and line of the key.
    """

    names: tuple[str, ...]
    value: Any
    where: str


def read_tree(path: str) -> list[Entry]:
    """The entries of a file, after those of its bases; the last entry of a key wins.

    Nothing is fetched over the network, and only regular files are opened.

    Raises:
        UserError: a file is missing, is not YAML, repeats a key or has values that are not plain;
            or the files refer to each other in a circle, or are more than ``MAX_BASES``.
    """
    return list(_walk_files(resolve(path)))


def find_bases(path: str) -> list[str]:
    """The paths of the ``_BASE_`` files of a YAML file; empty if it has none.

    Raises:
        UserError: the file cannot be read.
    """
    path = resolve(path)
    return [base for _, base in _bases(path, read_entries(path))]


def read_entries(path: str, origin: str = "") -> list[Entry]:
    """The entries of one file, at any depth.

    Args:
        path: path of the file.
        origin: text for messages that says what names the file, if not the user; it follows the
            name.

    Raises:
        UserError: the file cannot be used.
    """
    loader, root = _parse(path, _read(path, _CONFIG, origin), _CONFIG)
    return [
        Entry(names, loader.construct_object(node, True), f"{path}:{line}")
        for names, node, line in _walk(root)
    ]


def read_values(path: str, kind: str) -> dict[Any, Any]:
    """The nested values of one file, for a file that is no config.

    Args:
        path: path of the file.
        kind: noun for the file, with which messages begin, such as "Search space".

    Raises:
        UserError: the file cannot be used.
    """
    loader, root = _parse(path, _read(path, kind), kind)
    values: dict[Any, Any] = loader.construct_object(root, True)
    return values


def _walk_files(
    path: str,
    origin: str = "",
    referrers: tuple[str, ...] = (),
    counter: Iterator[int] | None = None,
) -> Iterator[Entry]:
    counter = counter or itertools.count()
    referrers = (*referrers, path)
    if os.path.realpath(path) in map(os.path.realpath, referrers[:-1]):
        raise UserError(
            f"The {BASE_KEY} files refer to each other in a circle: {' -> '.join(referrers)}."
        )
    if next(counter) > MAX_BASES:
        raise UserError(f"'{referrers[0]}' stands on more than {MAX_BASES} {BASE_KEY} files.")
    entries = read_entries(path, origin)
    for entry, base in _bases(path, entries):
        yield from _walk_files(base, _origin(entry), referrers, counter)
    yield from (entry for entry in entries if entry.names != (BASE_KEY,))


def _bases(path: str, entries: list[Entry]) -> Iterator[tuple[Entry, str]]:
    """The ``_BASE_`` entries of a file and the paths that they name, relative to its folder."""
    folder = os.path.dirname(path)
    for entry in entries:
        if entry.names != (BASE_KEY,):
            continue
        bases = entry.value if isinstance(entry.value, list) else [entry.value]
        if not all(isinstance(base, str) for base in bases):
            raise UserError(
                f"{BASE_KEY} in {entry.where} must be a file name or a list of file names."
            )
        for base in bases:
            base = resolve(os.path.expanduser(base), _origin(entry))
            # `join` leaves an absolute path as it is. Files are opened by their normal paths.
            yield entry, base if "://" in base else os.path.normpath(os.path.join(folder, base))


def _origin(entry: Entry) -> str:
    return f", the {BASE_KEY} of {entry.where},"


def _read(path: str, kind: str, origin: str = "") -> str:
    subject = f"{kind} '{path}'{origin}"
    if "://" in path:
        raise UserError(f"{subject} is not fetched: download it, and name the file on the disk.")
    try:
        return read_text(Path(path), max_bytes=MAX_BYTES)
    except IsADirectoryError as error:
        raise UserError(f"{subject} is a folder: name a YAML file.") from error
    except FileNotFoundError as error:
        hint = suggest_file(path, (".yaml", ".yml"))
        raise UserError(f"{subject} does not exist. {hint}") from error
    except UnicodeDecodeError as error:
        raise _not_text(path, kind) from error
    except OSError as error:
        raise UserError(f"{subject} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise UserError(f"{subject} cannot be read: {error}.") from error


def _not_text(path: str, kind: str) -> UserError:
    return UserError(f"{kind} '{path}' is not a text file: name a YAML file.")


def _parse(path: str, text: str, kind: str) -> tuple[PlainLoader, yaml.MappingNode]:
    """The loader of a document, which holds its values, and the root, all of which is valid."""
    try:
        loader = PlainLoader(text)
        root = loader.get_single_node()
        repeated = _find_repeated_key(root)  # before << is resolved, which a key may repeat
        if root is not None:
            loader.construct_document(root)
    except yaml.reader.ReaderError as error:
        raise _not_text(path, kind) from error
    except yaml.MarkedYAMLError as error:
        raise _yaml_error(path, text, error) from error
    if root is None:
        raise UserError(f"{kind} '{path}' is empty.")
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{kind} '{path}' holds no keys: write 'KEY: value' lines.")
    if repeated is not None:
        where = f"'{repeated.value}' in {path}:{repeated.start_mark.line + 1}"
        if str(repeated.value).endswith(")"):  # the end of a tuple
            raise UserError(
                f"{where} is no key: YAML cuts (1, 2) at the comma inside braces. Write such "
                "values in square brackets, as [1, 2]."
            )
        raise UserError(
            f"{where} is there twice, and of the first one nothing would count: write both as one."
        )
    return loader, root


def _find_repeated_key(node: yaml.Node | None) -> yaml.Node | None:
    """The first key that a mapping repeats, at any depth; PyYAML would take the last value."""
    seen: set[str] = set()
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        name = str(key.value)
        if name in seen:
            return key
        seen.add(name)
        if repeated := _find_repeated_key(value):
            return repeated
    inside = node.value if isinstance(node, yaml.SequenceNode) else ()
    return next(filter(None, map(_find_repeated_key, inside)), None)


def _walk(
    mapping: yaml.MappingNode, parents: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], yaml.Node, int]]:
    for key, value in mapping.value:
        names = (*parents, key.value)
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _walk(value, names)
        else:
            yield names, value, key.start_mark.line + 1


def _yaml_error(path: str, text: str, error: yaml.MarkedYAMLError) -> UserError:
    line = error.problem_mark.line
    where = f"{path}:{line + 1}"
    if not isinstance(error, TagError):
        return UserError(f"YAML syntax error in {where}: {error.problem:.100}.")
    if error.is_date:
        return UserError(f"{where} holds a date, which is no value of a key: quote it.")
    if _RETINANET_SIZES_CODE in text.splitlines()[line]:
        return UserError(
            f"{where} has Python compute the anchor sizes, which is refused: write "
            f"SIZES: {_RETINANET_SIZES} instead."
        )
    return UserError(
        f"{where} holds a YAML tag, which could run code and is refused: write plain numbers, "
        "texts and lists."
    )
