"""The images of a prediction: found in files and folders, and read as a test reads them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, DatasetMapper, build_detection_test_loader

from imbdet.data.broken_images import ImageError, map_image
from imbdet.engine.progress import with_progress
from imbdet.errors import UserError
from imbdet.formats.folders import list_images


def find_images(places: Sequence[str]) -> list[Path]:
    """Files, and all image files of folders and of the folders in them, in the order of names.

    Raises:
        UserError: one does not exist, or a folder has no image.
    """
    paths: list[Path] = []
    for place in map(Path, places):
        if not place.exists():
            raise UserError(f"--images '{place}' does not exist.")
        if place.is_dir():
            inside = list_images(place)
            if not inside:
                raise UserError(f"--images '{place}' has no image in it.")
            paths += inside
        else:
            paths.append(place)
    return paths


def map_images(cfg: CfgNode, images: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The input of a detector for each image, in their order, with "image_id" and "file_name".

    An image that cannot be used yields its record, with the "problem" in a sentence.

    Args:
        cfg: the config.
        images: COCO's dicts of "id" and "file_name".
    """
    records = [{"image_id": image["id"], "file_name": image["file_name"]} for image in images]
    loader = build_detection_test_loader(
        DatasetFromList(records),
        mapper=_TolerantMapper(DatasetMapper(cfg, is_train=False)),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )
    for (item,) in with_progress(loader, "detecting"):
        yield item


class _TolerantMapper:
    """Maps a record by ``mapper``; one with a broken image gets the "problem" in a sentence."""

    def __init__(self, mapper: DatasetMapper) -> None:
        self._mapper = mapper

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        try:
            return map_image(self._mapper, record)
        except ImageError as error:
            return {**record, "problem": str(error)}
