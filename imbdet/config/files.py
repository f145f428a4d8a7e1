"""How a YAML file and the overrides of a command line become a config.

detectron2 does the merging; this module refuses python tags, which detectron2 would evaluate, and
turns every failure into one sentence about the file, the line and the key.
"""

import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from detectron2.config import CfgNode, get_cfg
from detectron2.utils.file_io import PathManager
from fvcore.common.config import BASE_KEY

from imbdet.config.defaults import add_imbdet_config
from imbdet.errors import UserError, suggest
from imbdet.keys import leaves, suggest_key

# How to write a value of a type, said when another type is given.
_HOW_TO_WRITE = {
    bool: "True or False",
    int: "a whole number",
    float: "a number with a decimal point or exponent, such as 1.0",
    # yacs reads the inside of a first pair of quotes as Python.
    str: "a text, quoted twice where it looks like a number ('\"1\"')",
    tuple: "a list, such as [1, 2]",
    list: "a list, such as [1, 2]",
}

# The anchor sizes of detectron2's RetinaNet, which its config has Python compute.
_RETINANET_SIZES_CODE = "[[x, x * 2**(1.0/3), x * 2**(2.0/3) ] for x in [32, 64, 128, 256, 512 ]]"
_RETINANET_SIZES = [[x * 2 ** (i / 3) for i in range(3)] for x in (32, 64, 128, 256, 512)]


def load_config(*config_files: str, opts: Sequence[str] = ()) -> CfgNode:
    """The config of a run: defaults, then YAML files, then overrides.

    Args:
        config_files: YAML files, each with its ``_BASE_`` files; a later one wins.
        opts: overrides KEY, VALUE, KEY, VALUE, ... as they stand on a command line.

    Raises:
        UserError: a file cannot be read or merged, or an override does not fit. Whether a value
            means something is not checked here.
    """
    cfg = get_cfg()
    add_imbdet_config(cfg)
    for config_file in config_files:
        _merge_file(cfg, config_file)
    _merge_overrides(cfg, opts)
    return cfg


def find_bases(config_file: str) -> list[str]:
    """The paths of the ``_BASE_`` files of a YAML file, none for one that stands alone.

    Raises:
        UserError: the file cannot be read.
    """
    entries = _entries(config_file, _read(config_file, ""))
    return [
        base
        for names, value, line in entries
        if names == (BASE_KEY,)
        for base in _base_files(config_file, value, f"{config_file}:{line}")
    ]


def suggest_file(path: str, suffixes: tuple[str, ...]) -> str:
    """A sentence with the files in the folder of a missing ``path`` that have nearly its name."""
    folder, name = os.path.split(path)
    if not os.path.isdir(folder or "."):
        return f"There is no folder '{folder}'."
    return suggest(name, [other for other in os.listdir(folder or ".") if other.endswith(suffixes)])


def _merge_file(cfg: CfgNode, path: str) -> None:
    try:
        cfg.merge_from_file(path, allow_unsafe=False)
    except Exception as error:  # detectron2, fvcore, yacs and PyYAML each raise their own
        _blame(cfg, path)
        raise UserError(f"Cannot load the config file '{path}': {error}") from error
    _refuse_repeated_keys(path)
    if _empty_keys(cfg):
        _blame(cfg, path)


def _refuse_repeated_keys(path: str) -> None:
    for base in find_bases(path):  # which reads the file
        _refuse_repeated_keys(base)


def _merge_overrides(cfg: CfgNode, opts: Sequence[str]) -> None:
    for key, *value in (opts[i : i + 2] for i in range(0, len(opts), 2)):
        if "=" in key:
            raise UserError(
                f"'{key}' on the command line: write '{key.replace('=', ' ', 1)}', with a space."
            )
        if key.startswith("--"):
            raise UserError(f"'{key}' is an option: it stands before the first KEY VALUE.")
        if key.endswith((".yaml", ".yml")):
            raise UserError(f"Config files are given by an option: --config-file {key}.")
        if not value:
            raise UserError(f"The key '{key}' on the command line has no value after it.")
        _set(cfg, key, value[0], "on the command line")


def _blame(cfg: CfgNode, path: str, origin: str = "", referrers: tuple[str, ...] = ()) -> None:
    """Raise for the first problem in a file that did not merge, or in the files it is based on."""
    referrers = (*referrers, path)
    if os.path.realpath(path) in map(os.path.realpath, referrers[:-1]):
        raise UserError(
            f"The {BASE_KEY} files refer to each other in a circle: {' -> '.join(referrers)}."
        )
    for names, value, line in _entries(path, _read(path, origin)):
        key, where = ".".join(names), f"{path}:{line}"
        if key == BASE_KEY:
            for base in _base_files(path, value, where):
                _blame(cfg, base, f", the {BASE_KEY} of {where},", referrers)
        elif key == "VERSION" and value != cfg.VERSION:
            raise UserError(
                f"VERSION is {value} in {where}, but this detectron2 has config version "
                f"{cfg.VERSION}: adapt the file and write VERSION: {cfg.VERSION}."
            )
        elif len(names) < len(key.split(".")):
            raise UserError(
                f"'{key}' in {where} must be written as nested keys, one line for each part."
            )
        else:
            _set(cfg, key, value, f"in {where}")


def _read(path: str, origin: str) -> str:
    subject = f"Config file '{path}'{origin}"
    if os.path.isdir(path):
        raise UserError(f"{subject} is a folder: name a YAML file.")
    try:
        with PathManager.open(path) as file:
            return file.read()
    except FileNotFoundError as error:
        hint = suggest_file(path, (".yaml", ".yml"))
        raise UserError(f"{subject} does not exist. {hint}") from error
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    except OSError as error:
        raise UserError(f"{subject} cannot be read: {error.strerror or error}.") from error


def _not_text(path: str) -> UserError:
    return UserError(f"Config file '{path}' is not a text file: name a YAML file.")


def _entries(path: str, text: str) -> list[tuple[tuple[str, ...], Any, int]]:
    """The names, the value and the line of every entry in a YAML file, however deep."""
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        repeated = _find_repeated_key(root)  # before << is resolved, which a key may repeat
        if root is not None:
            loader.construct_document(root)
    except yaml.reader.ReaderError as error:
        raise _not_text(path) from error
    except yaml.MarkedYAMLError as error:
        raise _yaml_error(path, text, error) from error
    if root is None:
        raise UserError(f"Config file '{path}' is empty.")
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"Config file '{path}' holds no keys: write 'KEY: value' lines.")
    if repeated is not None:
        raise UserError(
            f"'{repeated.value}' in {path}:{repeated.start_mark.line + 1} is there twice, "
            "and of the first one nothing would count: write both as one."
        )
    return [(names, loader.construct_object(node, True), line) for names, node, line in _walk(root)]


def _find_repeated_key(node: yaml.Node | None) -> yaml.Node | None:
    """The first key that a mapping has already, however deep; PyYAML would take the last value."""
    if not isinstance(node, yaml.MappingNode):
        return None
    seen: set[str] = set()
    for key, value in node.value:
        name = str(key.value)
        if name in seen:
            return key
        seen.add(name)
        if repeated := _find_repeated_key(value):
            return repeated
    return None


def _walk(
    mapping: yaml.MappingNode, parents: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], yaml.Node, int]]:
    for key, value in mapping.value:
        names = (*parents, key.value)
        if isinstance(value, yaml.MappingNode):
            yield from _walk(value, names)
        else:
            yield names, value, key.start_mark.line + 1


def _yaml_error(path: str, text: str, error: yaml.MarkedYAMLError) -> UserError:
    line = error.problem_mark.line
    where = f"{path}:{line + 1}"
    if "constructor for the tag" not in error.problem:
        return UserError(f"YAML syntax error in {where}: {error.problem}.")
    if _RETINANET_SIZES_CODE in text.splitlines()[line]:
        return UserError(
            f"{where} has Python compute the anchor sizes, which is refused: write "
            f"SIZES: {_RETINANET_SIZES} instead."
        )
    return UserError(
        f"{where} holds a YAML tag, which could run code and is refused: write plain numbers, "
        "texts and lists."
    )


def _base_files(path: str, value: Any, where: str) -> list[str]:
    """The paths that the ``_BASE_`` of a file stands for, resolved as fvcore does."""
    bases = value if isinstance(value, list) else [value]
    if not all(isinstance(base, str) for base in bases):
        raise UserError(f"{BASE_KEY} in {where} must be a file name or a list of file names.")
    folder = os.path.dirname(path)
    return [
        # `join` leaves an absolute path as it is. Files are opened by their normal paths.
        base
        if base.startswith(("http://", "https://"))
        else os.path.normpath(os.path.join(folder, base))
        for base in map(os.path.expanduser, bases)
    ]


def _set(cfg: CfgNode, key: str, value: Any, where: str) -> None:
    try:
        cfg.merge_from_list([key, value])
    except Exception as error:  # yacs asserts, and indexes whatever it finds on the way
        if cfg.key_is_renamed(key):
            raise UserError(f"{error.args[0].rstrip('.')} ({where}).") from error
        raise UserError(_misfit(cfg, key, value, where)) from error
    if key in _empty_keys(cfg):
        raise UserError(f"'{key}' {where} has no value: write one, or leave the key out.")


def _empty_keys(cfg: CfgNode) -> set[str]:
    """Keys with None, which yacs takes for a value of any type, that may not have it."""
    return {key for key, value in leaves(cfg) if value is None} - _optional_keys()


@functools.cache
def _optional_keys() -> frozenset[str]:
    return frozenset(key for key, value in leaves(get_cfg()) if value is None)


def _misfit(cfg: CfgNode, key: str, value: Any, where: str) -> str:
    """Why ``cfg`` does not take the value: the key does not exist, or has another type."""
    node, parents = cfg, []
    for name in key.split("."):
        if not isinstance(node, CfgNode):
            parent = ".".join(parents)
            return f"'{key}' {where} does not exist: '{parent}' is a value, not a group of keys."
        if name not in node:
            return f"Unknown key '{key}' {where}. {suggest_key(cfg, key)}"
        node = node[name]
        parents.append(name)
    if isinstance(node, CfgNode):
        example, _ = next(leaves(node, f"{key}."))
        return f"'{key}' {where} is a group of keys, not a value: set those, such as '{example}'."
    needed = _HOW_TO_WRITE.get(type(node), "a plain value")
    if isinstance(value, str) and value.startswith("(") and not value.endswith(")"):
        needed += ", in square brackets (YAML cuts (1, 2) at the comma inside braces)"
    return f"'{key}' must be {needed}; {where} it is {value}."
