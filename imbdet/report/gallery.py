"""Pictures inside the page, within a budget."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from PIL import Image

from imbdet.report.drawings import zoomable
from imbdet.report.elements import Child, element, note
from imbdet.untrusted.reading import require_file

MAX_WIDTH = 2000
_QUALITY = 80


class Gallery:
    """Embeds pictures until the budget of a page is used up."""

    def __init__(self, max_bytes: float = 6e6):
        """Start with the whole budget.

        Args:
            max_bytes: size limit of all pictures of a page together.
        """
        self.left = max_bytes

    def embed(self, paths: Iterable[Path]) -> list[Element]:
        """Pictures with their names below, and sentences about those that are not shown."""
        return self.embed_with({path: [path.stem] for path in sorted(paths)})

    def embed_with(self, captions: Mapping[Path, Sequence[Child]]) -> list[Element]:
        """Pictures with their captions below, and sentences about those that are not shown."""
        shown, left_out, damaged = [], [], []
        for path, below in captions.items():
            try:
                address = _encode(path)
            except (OSError, ValueError, Image.DecompressionBombError):
                damaged.append(path.name)
                continue
            if len(address) > self.left:
                left_out.append(path.name)
                continue
            self.left -= len(address)
            shown.append(
                element("figure", zoomable(address, path.stem), element("figcaption", *below))
            )
        content = [element("div", *shown, class_="gallery")] if shown else []
        if left_out:
            content.append(note(f"Left out to keep the page small: {', '.join(left_out)}."))
        if damaged:
            content.append(note(f"These pictures cannot be read: {', '.join(damaged)}."))
        return content


def _encode(path: Path) -> str:
    """A data URL of the picture as WebP, not wider than MAX_WIDTH."""
    require_file(path)
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
    picture.thumbnail((MAX_WIDTH, 4 * MAX_WIDTH))
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
