"""Merges YAML files and the overrides of a command line into a config.

detectron2 does the merging; this module turns every failure into one sentence about the file, the
line and the key.
"""

import functools
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode, downgrade_config, get_cfg, upgrade_config
from detectron2.config.compat import guess_version

from imbdet.config.added_keys import add_imbdet_config
from imbdet.config_files.keys import leaves, suggest_key
from imbdet.config_files.yaml_file import Entry, read_tree
from imbdet.errors import UserError
from imbdet.untrusted.plain_yaml import load_yaml
from imbdet.wording import shortened

# How to write a value of a type, for the message when another type is given.
_HOW_TO_WRITE = {
    bool: "True or False",
    int: "a whole number",
    float: "a number with a decimal point or exponent, such as 1.0",
    # yacs reads the inside of a first pair of quotes as Python.
    str: "a text, quoted twice where it looks like a number ('\"1\"')",
    tuple: "a list, such as [1, 2]",
    list: "a list, such as [1, 2]",
}

# A list whose only part may stand without brackets, even if it is a group of names and numbers,
# which yacs takes for keys.
_LONE = ("MODEL", "CLASS_WEIGHTS")


def load_config(
    *config_files: str, opts: Sequence[str] = (), where: str = "on the command line"
) -> CfgNode:
    """The config of a run: defaults, then YAML files, then overrides.

    Args:
        config_files: YAML files or addresses of imbdet's, each with its ``_BASE_`` files; a later
            one wins.
        opts: overrides KEY, VALUE, KEY, VALUE, ... as they stand on a command line.
        where: place of the overrides, for messages.

    Raises:
        UserError: a file cannot be read or merged, or an override does not fit. Whether a value is
            valid is not checked here.
    """
    cfg = get_cfg()
    add_imbdet_config(cfg)
    for config_file in config_files:
        _merge_file(cfg, config_file)
    _merge_overrides(cfg, opts, where)
    return cfg


def _merge_file(cfg: CfgNode, path: str) -> None:
    entries = read_tree(path)
    root = _nest(entries)
    group, name = _LONE
    if isinstance(root.get(group), dict) and name in root[group]:
        root[group][name] = _in_list(root[group][name])
    try:
        _merge_versioned(cfg, CfgNode(root), path)
    except Exception as error:  # detectron2, fvcore and yacs each raise errors of their own
        _blame(cfg, entries)
        raise UserError(f"Cannot load the config file '{path}': {error}") from error
    if _empty_keys(cfg):
        _blame(cfg, entries)


def _nest(entries: Sequence[Entry]) -> dict[str, Any]:
    """Nested groups of keys from entries; a later entry wins."""
    root: dict[str, Any] = {}
    for names, value, _ in entries:
        node = root
        for name in names[:-1]:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        if value != {} or not isinstance(node.get(names[-1]), dict):
            node[names[-1]] = value
    return root


def _merge_versioned(cfg: CfgNode, loaded: CfgNode, path: str) -> None:
    """Merge as detectron2's ``merge_from_file`` does, which would read the files once more."""
    version = loaded.get("VERSION") or guess_version(loaded, path)
    if version == cfg.VERSION:
        cfg.merge_from_other_cfg(loaded)
        return
    old = downgrade_config(cfg, to_version=version)
    old.merge_from_other_cfg(loaded)
    upgraded = upgrade_config(old)
    cfg.clear()
    cfg.update(upgraded)


def _merge_overrides(cfg: CfgNode, opts: Sequence[str], where: str) -> None:
    for key, *value in (opts[i : i + 2] for i in range(0, len(opts), 2)):
        if key.startswith("--"):
            raise UserError(f"'{key}' is an option: it stands before the first KEY VALUE.")
        if "=" in key:
            raise UserError(f"'{key}' {where}: write '{key.replace('=', ' ', 1)}', with a space.")
        if key.endswith((".yaml", ".yml")):
            raise UserError(f"Config files are given by an option: --config-file {key}.")
        if not value:
            raise UserError(f"The key '{key}' {where} has no value after it.")
        set_key(cfg, key, value[0], where)


def _blame(cfg: CfgNode, entries: Sequence[Entry]) -> None:
    """Raise a UserError for the first problem in files that did not merge."""
    for names, value, where in entries:
        key = ".".join(names)
        if names[:2] == _LONE and len(names) > 2:
            continue
        if key == "VERSION" and value != cfg.VERSION:
            raise UserError(
                f"VERSION is {shortened(value)} in {where}, but this detectron2 has config version "
                f"{cfg.VERSION}: adapt the file and write VERSION: {cfg.VERSION}."
            )
        if len(names) < len(key.split(".")):
            raise UserError(
                f"'{key}' in {where} must be written as nested keys, one line for each part."
            )
        if value != {}:
            set_key(cfg, key, value, f"in {where}")


def set_key(cfg: CfgNode, key: str, value: Any, where: str) -> None:
    """Give a key a value, as it stands in a file or on a command line.

    Args:
        cfg: config, changed in place.
        key: full name of the key.
        value: value of the key's type, or a text that stands for one.
        where: place of the value, such as "on the command line", for the message.

    Raises:
        UserError: there is no such key, or the value is of another type.
    """
    if key == ".".join(_LONE):
        value = _in_list(_parsed(value) if isinstance(value, str) else value)
    try:
        cfg.merge_from_list([key, value])
    except Exception as error:  # yacs asserts, and indexes whatever it finds on the way
        if cfg.key_is_renamed(key):
            raise UserError(f"{error.args[0].rstrip('.')} ({where}).") from error
        raise UserError(_misfit(cfg, key, value, where)) from error
    if key in _empty_keys(cfg):
        raise UserError(f"'{key}' {where} has no value: write one, or leave the key out.")


def _in_list(value: Any) -> Any:
    return value if value is None or isinstance(value, list | tuple) else [value]


def _parsed(text: str) -> Any:
    """A text of a command line parsed as YAML; the text itself if that fails."""
    try:
        return load_yaml(text)
    except ValueError:
        return text


def _empty_keys(cfg: CfgNode) -> set[str]:
    """Keys that are None, which yacs accepts for any type, although they may not be."""
    return {key for key, value in leaves(cfg) if value is None} - _optional_keys()


@functools.cache
def _optional_keys() -> frozenset[str]:
    return frozenset(key for key, value in leaves(get_cfg()) if value is None)


def _misfit(cfg: CfgNode, key: str, value: Any, where: str) -> str:
    """Why ``cfg`` rejects the value: the key does not exist, or has another type."""
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
    return f"'{key}' must be {needed}; {where} it is {shortened(value)}."
