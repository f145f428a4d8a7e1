"""Reads the XML files of Pascal VOC and of tools that write its format, such as labelImg."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from imbdet.errors import UserError
from imbdet.formats.conversion import Object


def read_annotation(
    path: Path, *, first_pixel: int = 1
) -> tuple[tuple[float, float], list[Object]]:
    """Width and height of an image, (0, 0) if they are missing, and its objects.

    Objects that are marked as difficult become crowds: neither Pascal VOC nor COCO counts them.

    Args:
        path: path of the XML file.
        first_pixel: coordinate of an image's first pixel: 1 in Pascal VOC, whose boxes include
            their last pixel; 0 for tools that write coordinates from 0 on.

    Raises:
        UserError: the file cannot be read, or an object has no box of four numbers.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:  # or of encodings
        raise UserError(f"The annotation '{path}' cannot be read: {error}.") from error
    width, height = (
        _parse_number(root.findtext(f"size/{side}") or "0", side, f"The annotation '{path}'")
        for side in ("width", "height")
    )
    objects = enumerate(root.iter("object"), start=1)
    return (width, height), [_parse_object(node, i, path, first_pixel) for i, node in objects]


def read_image_list(path: Path) -> dict[str, str]:
    """The names in a list of images, one per line, and the line of each in words.

    Names may contain spaces.

    Raises:
        UserError: the file cannot be read, is empty, or has a name twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The list of images '{path}' cannot be read: {error}.") from error
    places: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, place = line.strip(), f"line {number} of '{path}'"
        if name in places:
            raise UserError(f"'{name}' is in {places[name]} and again in {place}: remove one.")
        if name:
            places[name] = place
    if not places:
        raise UserError(f"The list of images '{path}' is empty: write a name into each line.")
    return places


def _parse_object(node: ElementTree.Element, number: int, path: Path, first_pixel: int) -> Object:
    name = node.findtext("name", "").strip()
    owner = f"Object {number} ('{name}') of '{path}'"
    x0, y0, x1, y1 = (
        _parse_number(node.findtext(f"bndbox/{edge}", ""), edge, owner)
        for edge in ("xmin", "ymin", "xmax", "ymax")
    )
    is_difficult = node.findtext("difficult", "0").strip() == "1"
    return Object(name, [x0 - first_pixel, y0 - first_pixel, x1, y1], is_difficult)


def _parse_number(text: str, tag: str, owner: str) -> float:
    try:
        return float(text)
    except ValueError:
        found = f", but '{text}'" if text.strip() else ""
        raise UserError(
            f"{owner} has no number in its <{tag}>{found}: correct or remove it."
        ) from None
