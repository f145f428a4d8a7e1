#!/usr/bin/env python
"""Divide the images of an annotation file in COCO's format into training, validation and test.

FILE stays as it is. Beside it `<name>_train.json`, `<name>_val.json` and `<name>_test.json` are
written, each with all classes and a random part of the images, always the same. Frames of one video
are alike: divide them by hand, so that no video is in two parts. At the end come a config to save,
and the command that trains with it.

    python datasets/split_coco.py path/to/annotations.json --images path/to/images

Halves of a validation file, for validation and test:

    python datasets/split_coco.py path/to/val.json --images path/to/images --shares 0 0.5 0.5
"""

import argparse
import contextlib
import itertools
import json
import math
import random
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imbdet.errors import UserError
from imbdet.files import replacing
from imbdet.formats.coco_json import read_coco_json
from imbdet.formats.conversion import count_objects
from imbdet.formats.own_config import own_config, own_entries
from imbdet.programs.program import run_program
from imbdet.untrusted.reading import read_json
from imbdet.wording import counted

SPLITS = ("train", "val", "test")
# The seed is fixed, so that a second run divides in the same way.
_SEED = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Divide, or report a user's mistake in a sentence, and return the exit status."""

    def run() -> None:
        args = parse_args(argv)
        split(args.file, args.images or args.file.parent, args.shares)

    return run_program(run, output="the folder of FILE")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="where the file names in FILE start, for the config (default: the folder of FILE)",
    )
    parser.add_argument(
        "--shares",
        type=float,
        nargs=3,
        default=[0.7, 0.15, 0.15],
        metavar=("TRAIN", "VAL", "TEST"),
        help="of the images; 0 leaves a split out (default: 0.7 0.15 0.15)",
    )
    return parser.parse_args(argv)


def split(file: Path, images: Path, shares: Sequence[float]) -> None:
    """Write a file for each split that has a share.

    Raises:
        UserError: the file is not in COCO's format, a share is invalid or too small for the number
            of images, or a file is there already.
    """
    used = {name: share for name, share in zip(SPLITS, shares, strict=True) if share != 0}
    if len(used) < 2 or min(used.values()) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise UserError(
            f"--shares are {', '.join(f'{share:g}' for share in shares)}: two or more must be "
            "above 0, and together they must be 1."
        )
    read_coco_json(str(file))  # refuses what is wrong in it
    content = read_json(file)
    files = {name: file.with_name(f"{file.stem}_{name}.json") for name in used}
    for path in files.values():
        if path.exists():
            raise UserError(f"'{path}' is there already: remove it to divide '{file}' anew.")
    parts = {
        name: _part(content, chosen) for name, chosen in _draw(content["images"], used).items()
    }
    with contextlib.ExitStack() as stack:
        drafts = {name: stack.enter_context(replacing(path)) for name, path in files.items()}
        for name, draft in drafts.items():
            draft.write_text(json.dumps(parts[name]))
    for name, part in parts.items():
        print(f"'{files[name]}': {count_objects(part)}")
    for line in _describe_missing(parts):
        print(line)
    paths = {name: path.absolute() for name, path in files.items()}
    if "train" not in used:
        entries = own_entries(file.stem, paths, images.absolute())
        print(f"\nAdd to DATASETS.COCO of the config:\n\n{entries}", end="")
        return
    config = f"configs/{file.stem}.yaml"
    text = own_config(file.stem, paths, images.absolute(), len(content["categories"]))
    print(f"\nSave as {config}:\n\n{text}\n\nand train:\n")
    print(f".venv/bin/python train_net.py --config-file {shlex.quote(config)}")


def _draw(images: Sequence[Mapping[str, Any]], shares: Mapping[str, float]) -> dict[str, set[str]]:
    """The file names of each split. An image that is listed twice is in one split."""
    names = sorted({image["file_name"] for image in images})
    random.Random(_SEED).shuffle(names)
    ends = [round(len(names) * end) for end in itertools.accumulate(shares.values(), initial=0)]
    parts = {
        name: set(names[start:end])
        for name, (start, end) in zip(shares, itertools.pairwise(ends), strict=True)
    }
    for name, chosen in parts.items():
        if not chosen:
            raise UserError(
                f"--shares: {shares[name]:g} of {counted(len(names), 'image')} are none for "
                f"{name}: raise its share."
            )
    return parts


def _part(content: Mapping[str, Any], file_names: set[str]) -> dict[str, Any]:
    """The content with only some of the images."""
    images = [image for image in content["images"] if image["file_name"] in file_names]
    ids = {image["id"] for image in images}
    notes = [note for note in content["annotations"] if note["image_id"] in ids]
    return {**content, "images": images, "annotations": notes}


def _describe_missing(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each split that has no object of some classes."""
    for name, part in parts.items():
        present = {note["category_id"] for note in part["annotations"]}
        missing = [c["name"] for c in part["categories"] if c["id"] not in present]
        if missing:
            yield f"Classes without objects in {name}: {', '.join(missing)}"


if __name__ == "__main__":
    sys.exit(main())
