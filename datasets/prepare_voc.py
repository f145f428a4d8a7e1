#!/usr/bin/env python
"""Bring images of yours that are annotated in Pascal VOC's form (XML) into COCO's form.

FOLDER is in Pascal VOC's own layout (`Annotations`, `JPEGImages`, lists of images in
`ImageSets/Main`), or has images and XML files of the same names anywhere in it, as labelImg leaves
them. `annotations/train.json`, `val.json` and, where there is a list of it, `test.json` are written
to it; images stay where they are. Without lists, every fifth image or so is for validation. What is
wrong in the annotations is corrected or left out, and reported. At the end come a config to save,
and the command that trains with it.

    python datasets/prepare_voc.py path/to/FOLDER
"""

import argparse
import itertools
import json
import random
import shlex
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from imbdet.errors import UserError
from imbdet.files import replacing
from imbdet.formats.conversion import AnnotatedImage, count_objects, describe_defects, to_coco
from imbdet.formats.folders import list_images
from imbdet.formats.own_config import own_config
from imbdet.formats.pascal_voc import read_annotation, read_image_list
from imbdet.programs.program import run_program
from imbdet.wording import counted

SPLITS = ("train", "val", "test")


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, or report a user's mistake in a sentence, and return the exit status."""

    def run() -> None:
        args = parse_args(argv)
        prepare(args.folder, args.val_share)

    return run_program(run, output="FOLDER")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--val-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="of the images that are for validation, where there are no lists (default: 0.2)",
    )
    return parser.parse_args(argv)


def prepare(folder: Path, val_share: float) -> None:
    """Write the annotation files.

    Raises:
        UserError: there is no such folder, it is not in Pascal VOC's form, something in it is
            missing or malformed, or the files cannot be written.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder '{folder}'.")
    annotations = _index(p for p in sorted(folder.rglob("*")) if p.suffix.lower() == ".xml")
    if not annotations:
        raise UserError(f"'{folder}' has no XML file in it: name a folder in Pascal VOC's form.")
    splits = _read_lists(folder) or _split(annotations, val_share)
    photos = folder / "JPEGImages"  # its neighbours have segmentations under the same names
    photo_files = _index(list_images(photos if photos.is_dir() else folder))
    images = {
        split: [
            _read(folder, name, origin, annotations, photo_files) for name, origin in names.items()
        ]
        for split, names in splits.items()
    }
    classes = sorted({o.class_name for split in images.values() for i in split for o in i.objects})
    if not classes:
        raise UserError(f"None of the XML files in '{folder}' has an object.")
    found: defaultdict[str, list[str]] = defaultdict(list)
    contents = {split: to_coco(images[split], classes, found) for split in splits}
    files = {split: folder / "annotations" / f"{split}.json" for split in splits}
    for split, content in contents.items():
        with replacing(files[split]) as draft:
            draft.write_text(json.dumps(content))
        print(f"'{files[split]}': {count_objects(content)}")
    left_out = len(set(photo_files).difference(*splits.values()))
    if left_out:
        print(f"Images without an XML file or in no list, left out: {left_out}")
    for line in _describe_overlaps(splits):
        print(line)
    for line in describe_defects(found, classes):
        print(line)
    name = folder.resolve().name
    config = f"configs/{name}.yaml"
    print(f"\nSave as {config}:\n\n{own_config(name, files, folder, len(classes))}")
    print("\nand train:\n")
    print(f".venv/bin/python train_net.py --config-file {shlex.quote(config)}")


def _index(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """The files by their names without ending."""
    index: dict[str, list[Path]] = {}
    for path in paths:
        index.setdefault(path.stem, []).append(path)
    return index


def _read_lists(folder: Path) -> dict[str, dict[str, str]]:
    """By split, the names of its images, and where each name comes from, in words."""
    lists = {split: folder / "ImageSets" / "Main" / f"{split}.txt" for split in SPLITS}
    lists = {split: file for split, file in lists.items() if file.is_file()}
    if lists and not ("train" in lists and len(lists) > 1):
        raise UserError(
            f"'{folder}/ImageSets/Main' has only {', '.join(f'{split}.txt' for split in lists)}: "
            "train.txt is needed, and val.txt or test.txt."
        )
    return {split: read_image_list(file) for split, file in lists.items()}


def _split(annotations: dict[str, list[Path]], val_share: float) -> dict[str, dict[str, str]]:
    """Draw the splits where there are no lists, in the form of :func:`_read_lists`."""
    names = sorted(annotations)
    num_val = round(val_share * len(names))
    if not 0 < num_val < len(names):
        raise UserError(
            f"--val-share is {val_share}: of {counted(len(names), 'image')} it must leave some for "
            "training and some for validation."
        )
    val = set(random.Random(0).sample(names, num_val))
    splits: dict[str, dict[str, str]] = {"train": {}, "val": {}}
    for name in names:
        splits["val" if name in val else "train"][name] = f"'{annotations[name][0]}'"
    return splits


def _read(
    folder: Path,
    name: str,
    origin: str,
    annotations: dict[str, list[Path]],
    files: dict[str, list[Path]],
) -> AnnotatedImage:
    for what, index in (("XML files", annotations), ("images", files)):
        found = index.get(name, [])
        if len(found) != 1:
            names = f" ({', '.join(map(str, found))})" if found else ""
            raise UserError(
                f"'{folder}' has {len(found) or 'no'} {what} with the name '{name}'{names}, for "
                f"{origin}: there must be one."
            )
    (annotation,), (path,) = annotations[name], files[name]
    size, objects = read_annotation(annotation)
    for number, (class_name, *_) in enumerate(objects, start=1):
        if not class_name:
            raise UserError(
                f"Object {number} of '{annotation}' has no class: write it into its <name>, or "
                "remove the object."
            )
    return AnnotatedImage(path, path.relative_to(folder).as_posix(), size, objects)


def _describe_overlaps(splits: Mapping[str, Collection[str]]) -> Iterator[str]:
    """A line for each two splits that share images."""
    for (split, names), (other, others) in itertools.combinations(splits.items(), 2):
        if shared := [name for name in others if name in names]:
            first = ", ".join(f"'{name}'" for name in shared[:3])
            yield (
                f"Images in {split}.txt and in {other}.txt, on which results are too good: "
                f"{len(shared)} (first: {first})"
            )


if __name__ == "__main__":
    sys.exit(main())
