#!/usr/bin/env python
"""The crops of the first suspects of `imbdet clean` in one picture, the highest scores first.

    python benchmarks/contact_sheet.py output/bccd/clean --num 30 --output suspects.webp

Suspects without a crop, whose image could not be read, are left out.
"""

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

# Largest side of a crop, height of its heading, and gap between two, in pixels.
SIDE, HEADING, GAP = 180, 16, 4


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="that `imbdet clean` wrote")
    parser.add_argument("--num", type=int, default=30, metavar="N", help="suspects")
    parser.add_argument("--columns", type=int, default=6, metavar="N")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    return parser.parse_args(argv)


def draw(suspects: Sequence[Mapping[str, str]], crops: Path, columns: int) -> Image.Image:
    """A grid, row by row.

    Args:
        suspects: rows of suspects.csv.
        crops: the folder of their crops.
        columns: crops in a row.
    """
    width, height = SIDE + GAP, SIDE + HEADING + GAP
    num_rows = -(-len(suspects) // columns)
    sheet = Image.new("RGB", (columns * width, num_rows * height), "white")
    for k, suspect in enumerate(suspects):
        x, y = k % columns * width, k // columns * height
        with Image.open(crops / suspect["crop"]) as crop:
            crop.thumbnail((SIDE, SIDE))
            sheet.paste(crop, (x, y + HEADING))
        heading = f"{suspect['kind'].replace('_', ' ')} {float(suspect['score']):.2f}"
        ImageDraw.Draw(sheet).text((x, y + 2), heading, fill="black")
    return sheet


def main(argv: Sequence[str] | None = None) -> None:
    """Write the picture."""
    args = parse_args(argv)
    with (args.folder / "suspects.csv").open(newline="") as file:
        suspects = sorted(csv.DictReader(file), key=lambda row: -float(row["score"]))
    shown = [suspect for suspect in suspects if suspect["crop"]][: args.num]
    draw(shown, args.folder / "crops", args.columns).save(args.output, quality=80)


if __name__ == "__main__":
    main()
