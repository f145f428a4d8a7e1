"""The XML files of Pascal VOC and of the tools that write its form, such as labelImg."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from imbdet.errors import UserError
from imbdet.formats.conversion import Object


def read_annotation(path: Path) -> tuple[tuple[int, int], list[Object]]:
    """Width and height of an image, (0, 0) if they are missing, and its objects.

    Objects that are marked as difficult become crowds: neither Pascal VOC nor COCO counts them.

    Raises:
        UserError: the file cannot be read, or an object has no box of four numbers.
    """
    try:
        root = ElementTree.parse(path).getroot()
        size = (int(root.findtext("size/width", "0")), int(root.findtext("size/height", "0")))
        return size, [_parse_object(node) for node in root.iter("object")]
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise UserError(f"The annotation '{path}' cannot be read: {error}.") from error


def read_image_list(path: Path) -> list[str]:
    """The names in a list of images, one a line: they may have spaces.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The list of images '{path}' cannot be read: {error}.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _parse_object(node: ElementTree.Element) -> Object:
    edges = [node.findtext(f"bndbox/{edge}", "") for edge in ("xmin", "ymin", "xmax", "ymax")]
    x0, y0, x1, y1 = map(float, edges)
    is_difficult = node.findtext("difficult", "0").strip() == "1"
    # Pascal VOC counts pixels from 1, and the last one is inside.
    return Object(node.findtext("name", ""), [x0 - 1, y0 - 1, x1, y1], is_difficult)
