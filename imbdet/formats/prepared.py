"""Copies of public data sets in COCO's format, for the configs that name them."""

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from imbdet.errors import UserError
from imbdet.files import drafting
from imbdet.formats.conversion import AnnotatedImage, count_objects, describe_defects, to_coco

SPLITS = ("train", "val", "test")


def prepare(
    name: str,
    classes: Sequence[str],
    read: Callable[[Path], Mapping[str, Iterable[AnnotatedImage]]],
    source: Path,
    target: Path,
) -> None:
    """Write a data set to ``target``, which appears once it is complete, and print its contents.

    Args:
        name: name of the data set, and of the folder in configs/ for it.
        classes: names of the classes, which get the ids 1, 2, ...
        read: function from the source to the images of each split.
        source: folder with the data set as published.
        target: folder that gets "annotations" and "images".

    Raises:
        UserError: the source does not exist or is not complete, or the target is something else
            or cannot be written.
    """
    if all((target / "annotations" / f"{split}.json").is_file() for split in SPLITS):
        print(f"'{target}' is there already: nothing to do. Delete it to prepare it anew.")
        return
    if target.exists():
        raise UserError(f"'{target}' exists and is not a prepared {name}: delete or rename it.")
    if not source.is_dir():
        raise UserError(f"There is no folder '{source}'.")
    splits = {split: list(images) for split, images in read(source).items()}
    images = [image for split in splits.values() for image in split]
    file_name, count = Counter(image.file_name for image in images).most_common(1)[0]
    if count > 1:
        raise UserError(f"The splits of '{source}' name the image '{file_name}' {count} times.")
    found: defaultdict[str, list[str]] = defaultdict(list)
    contents = {split: to_coco(splits[split], classes, found) for split in SPLITS}
    try:
        _write(target, contents, [image.path for image in images])
    except OSError as error:
        raise UserError(f"'{target}' cannot be written: {error.strerror or error}.") from error
    for split, content in contents.items():
        print(f"{split}: {count_objects(content)}")
    for line in describe_defects(found, classes):
        print(line)
    print(f"'{target}' is ready: train with configs/{name}/.")


def _write(target: Path, contents: Mapping[str, object], images: Sequence[Path]) -> None:
    with drafting(target) as draft:
        for name in ("annotations", "images"):
            (draft / name).mkdir()
        for split, content in contents.items():
            (draft / "annotations" / f"{split}.json").write_text(json.dumps(content))
        for path in images:
            shutil.copyfile(path, draft / "images" / path.name)
        draft.rename(target)
