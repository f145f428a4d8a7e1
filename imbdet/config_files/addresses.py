"""Addresses of imbdet's own YAML files: ``imbdet://PISA.yaml`` is configs/PISA.yaml."""

from collections.abc import Iterator
from pathlib import Path

import imbdet
from imbdet.errors import UserError, suggest

PREFIX = "imbdet://"


def configs_folder() -> Path:
    """The folder of these files: in an installed package, or beside the package in a checkout."""
    package = Path(imbdet.__file__).resolve().parent
    folders = (package / "configs", package.parent / "configs")
    return next(folder for folder in folders if folder.is_dir())


def list_addresses() -> Iterator[str]:
    """All addresses, those of pieces and bases before those in subfolders."""
    folder = configs_folder()
    for files in (folder.glob("*.yaml"), folder.glob("*/*.yaml")):
        yield from sorted(f"{PREFIX}{file.relative_to(folder).as_posix()}" for file in files)


def resolve(path: str, origin: str = "") -> str:
    """The path of an address; any other path as it is.

    Args:
        path: path or address as the user wrote it.
        origin: where the path is written, for the message.

    Raises:
        UserError: the address does not exist.
    """
    if not path.startswith(PREFIX):
        return path
    addresses = list(list_addresses())
    if path not in addresses:
        hint = suggest(path, addresses)
        raise UserError(f"Config file '{path}'{origin} does not exist. {hint}")
    return str(configs_folder() / path.removeprefix(PREFIX))
