"""The folder of data sets, and the image files in a folder."""

import os
from pathlib import Path

from PIL import Image

# Pillow also reads videos and documents.
_FORMATS = {"BMP", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"}


def datasets_root() -> Path:
    """The folder that ``DETECTRON2_DATASETS`` names, by default "datasets", as in detectron2."""
    return Path(os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")))


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder and its subfolders, in the order of their paths."""
    formats = Image.registered_extensions()
    return [
        path for path in sorted(folder.rglob("*")) if formats.get(path.suffix.lower()) in _FORMATS
    ]
