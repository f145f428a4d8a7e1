"""Finds the reason why the image of a record cannot be used."""

import os

from detectron2.data import transforms as T
from detectron2.data.detection_utils import read_image
from detectron2.utils.file_io import PathManager
from PIL import Image, UnidentifiedImageError

from imbdet.untrusted.reading import require_file

_JPEG_SIGNATURE = b"\xff\xd8\xff"


def find_image_problem(record: dict, image_format: str) -> str | None:
    """Read the image of a record as detectron2 does, and find its problem.

    Args:
        record: detectron2's dict, of which "file_name" and, optionally, "width" and "height" are
            used.
        image_format: ``INPUT.FORMAT``.

    Returns:
        None, or the problem, to be put after the name of the file.
    """
    path = record["file_name"]
    try:
        require_file(path)
        if os.path.getsize(path) == 0:
            return "is empty"
        require_8_bits(path)
        height, width = read_image(path, image_format).shape[:2]
    except FileNotFoundError:
        return "is missing"
    except UnidentifiedImageError:
        return "is not an image"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except Exception as error:  # decoders raise nearly everything
        return f"cannot be read ({error})"
    return _find_size_problem(record, (width, height))


def find_resize_problem(record: dict, augmentations: T.AugmentationList) -> str | None:
    """Find out whether resizing would round a side of the image to 0 pixels, where Pillow fails.

    Args:
        record: see :func:`find_image_problem`.
        augmentations: augmentations of a mapper.

    Returns:
        None, or the problem, to be put after the name of the file.
    """
    if {"width", "height"} <= record.keys():
        width, height = record["width"], record["height"]
    else:
        with PathManager.open(record["file_name"], "rb") as file:
            width, height = Image.open(file).size
    for resize in augmentations.augs:
        if isinstance(resize, T.ResizeShortestEdge):
            short_edge = max(resize.short_edge_length)
            # detectron2 takes 0 for the size that the image has.
            if short_edge and 0 in resize.get_output_shape(
                height, width, short_edge, resize.max_size
            ):
                return (
                    f"has {width} x {height} pixels: no pixel of its short side is left when it is "
                    f"resized to at most {resize.max_size}"
                )
    return None


def require_8_bits(path: str) -> None:
    """Refuse an image whose values detectron2 would clip at 255.

    Raises:
        ValueError: the image has 16 or 32 bits, or floating-point numbers.
    """
    require_file(path)
    with PathManager.open(path, "rb") as file:
        # JPEG files, which most images are, have 8 bits. The name of a file does not tell its
        # format.
        if file.read(len(_JPEG_SIGNATURE)) == _JPEG_SIGNATURE:
            return
        file.seek(0)
        if Image.open(file).mode.startswith(("I", "F")):
            raise ValueError("it has more than 8 bits per pixel; convert it to 8 bits")


def _find_size_problem(record: dict, size: tuple[int, int]) -> str | None:
    expected = (record.get("width", size[0]), record.get("height", size[1]))
    if size == expected:
        return None
    problem = f"has {size[0]} x {size[1]} pixels, not {expected[0]} x {expected[1]} as annotated"
    if size == expected[::-1]:
        problem += " (images are turned by their EXIF orientation before they are used)"
    return problem
