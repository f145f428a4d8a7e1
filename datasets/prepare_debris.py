#!/usr/bin/env python
"""Bring a copy of the runway debris FOD-A into COCO's form, for the configs in configs/Debris.

SOURCE is a folder of yours, nothing is downloaded: FOD-A in Pascal VOC's form, with `Annotations`
and `JPEGImages`, whose images are the frames of videos in their order. Every tenth frame is taken.
Images and annotations are written to `$DETECTRON2_DATASETS/debris`, by default `datasets/debris`.

Neighbouring frames look alike, so that the published lists, which are random, have near copies of
the test images among the training images. Here a sequence of frames that show the same classes is
cut: its first 60 % are for training, from 65 to 73 % for validation, from 78 % on for the test, and
what lies between is left out.
"""

import argparse
import itertools
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from imbdet.errors import UserError
from imbdet.formats.conversion import AnnotatedImage
from imbdet.formats.folders import datasets_root
from imbdet.formats.pascal_voc import read_annotation
from imbdet.formats.prepared import SPLITS, prepare
from imbdet.programs.program import run_program

CLASSES = (
    *("AdjustableClamp", "AdjustableWrench", "Battery", "Bolt", "BoltNutSet", "BoltWasher"),
    *("ClampPart", "Cutter", "FuelCap", "Hammer", "Hose", "Label", "LuggagePart", "LuggageTag"),
    *("MetalPart", "MetalSheet", "Nail", "Nut", "PaintChip", "Pen", "PlasticPart", "Pliers"),
    *("Rock", "Screw", "Screwdriver", "SodaCan", "Tape", "Washer", "Wire", "Wood", "Wrench"),
)
EVERY = 10
# Where each split begins and ends, as shares of a sequence.
SHARES = {"train": (0, 0.6), "val": (0.65, 0.73), "test": (0.78, 1)}


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, or report a user's mistake in a sentence, and return the exit status."""
    target = datasets_root() / "debris"

    def run() -> None:
        prepare("Debris", CLASSES, read, parse_args(argv).source, target)

    return run_program(run, output=str(target))


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder with FOD-A")
    return parser.parse_args(argv)


def read(source: Path) -> dict[str, list[AnnotatedImage]]:
    """The images of each split.

    Raises:
        UserError: the folder has no annotations, or one of them is malformed.
    """
    files = sorted((source / "Annotations").glob("*.xml"))
    if not files:
        raise UserError(f"'{source / 'Annotations'}' has no XML files: name the folder of FOD-A.")
    return split_sequences(_read(source, file) for file in files)


def split_sequences(frames: Iterable[AnnotatedImage]) -> dict[str, list[AnnotatedImage]]:
    """Every tenth frame of each sequence, in the split of its place in the sequence.

    Args:
        frames: frames in their order; a sequence ends where the classes change.
    """
    splits: dict[str, list[AnnotatedImage]] = {split: [] for split in SPLITS}
    for _, group in itertools.groupby(frames, key=_classes):
        sequence = list(group)
        for place in range(0, len(sequence), EVERY):
            for split, (start, end) in SHARES.items():
                if start <= place / len(sequence) < end:
                    splits[split].append(sequence[place])
    return splits


def _classes(frame: AnnotatedImage) -> set[str]:
    return {shown.class_name for shown in frame.objects}


def _read(source: Path, file: Path) -> AnnotatedImage:
    path = source / "JPEGImages" / f"{file.stem}.jpg"
    # The boxes reach 0: they are the coordinates of the tool with which they were drawn.
    size, objects = read_annotation(file, first_pixel=0)
    return AnnotatedImage(path, path.name, size, objects)


if __name__ == "__main__":
    sys.exit(main())
