"""The pieces: YAML files that each set a method, to be added to the config of a detector."""

from pathlib import Path
from typing import Any, NamedTuple

from imbdet.config_files.addresses import PREFIX, list_addresses, resolve
from imbdet.config_files.yaml_file import read_tree


class Piece(NamedTuple):
    """A piece.

    Attributes:
        name: name of the piece, such as "Loss-AP".
        address: address by which a config names it, such as "imbdet://Loss-AP.yaml".
        description: the comment at its top.
        keys: keys that it sets, with those of its bases, and their values.
    """

    name: str
    address: str
    description: str
    keys: dict[str, Any]


def list_pieces() -> list[Piece]:
    """All pieces, in the order of their names."""
    addresses = [a for a in list_addresses() if not a.startswith(f"{PREFIX}Base-")]
    return [_read(address) for address in addresses if "/" not in address.removeprefix(PREFIX)]


def _read(address: str) -> Piece:
    path = resolve(address)
    lines = []
    for line in Path(path).read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    keys = {".".join(names): value for names, value, _ in read_tree(path)}
    keys.pop("VERSION", None)
    name = address.removeprefix(PREFIX).removesuffix(".yaml")
    return Piece(name, address, " ".join(lines), keys)
