"""``imbdet prune``: an annotation file of what matters, and a table that says why."""

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from detectron2.data import MetadataCatalog
from tabulate import tabulate

from imbdet.compare.run_folders import open_run
from imbdet.compare.run_ledger import RunLedger
from imbdet.errors import UserError, suggest
from imbdet.files import opening_output, replacing
from imbdet.pruning.pruned_file import with_ignored, without_images
from imbdet.pruning.scores import SCORES
from imbdet.pruning.selection import Selection, select
from imbdet.pruning.units import LedgerColumns, Units, units_of
from imbdet.untrusted.reading import read_json
from imbdet.wording import counted


def prune(args: argparse.Namespace) -> str:
    """Write the files, and return a summary for the terminal.

    Args:
        args: arguments of ``imbdet prune``.

    Raises:
        UserError: an option makes no sense, or the run has no ledger of its data as they are now.
    """
    _check_options(args)
    folder = Path(args.run_folder)
    ledger = RunLedger.of(open_run(folder, folder.resolve().name))
    sources = {name: ledger.annotation_file(name) for name in ledger.fingerprints}
    classes = list(MetadataCatalog.get(next(iter(sources))).thing_classes)
    columns = LedgerColumns.of(ledger.table("objects"), ledger.table("images"))
    units = units_of(columns, args.unit, args.by)
    selection = _select(args, units)
    output = Path(args.output)
    paths = new_files(output, sources)
    table = output / f"{args.unit}.csv"
    with opening_output(output):
        _write_table(table, columns, units, selection, classes)
    for name, source in sources.items():
        _write_file(paths[name], columns, selection, args.unit, name, source)
    return _summary(classes, columns, selection, args.unit, [*paths.values(), table])


def _check_options(args: argparse.Namespace) -> None:
    if not 0 < args.keep <= 1:
        raise UserError(f"--keep is {args.keep}: it must be above 0 and at most 1.")
    if args.by not in SCORES:
        raise UserError(f"--by is '{args.by}'. {suggest(args.by, SCORES)}")
    for name in ("per_class", "seed"):
        if getattr(args, name) < 0:
            option = name.replace("_", "-")
            raise UserError(f"--{option} is {getattr(args, name)}: it must be at least 0.")


def _select(args: argparse.Namespace, units: Units) -> Selection:
    number = max(round(args.keep * len(units.scores)), 1)
    generator = np.random.default_rng(args.seed)
    try:
        return select(units.scores, number, units.pairs, floor=args.per_class, generator=generator)
    except ValueError as error:
        (needed,) = error.args
        raise UserError(
            f"--keep {args.keep} keeps {counted(number, units.noun)}, but {args.per_class} of each "
            f"class are {needed:,}: keep more, or lower --per-class."
        ) from error


def new_files(output: Path, sources: Mapping[str, Path]) -> dict[str, Path]:
    """Paths of the new annotation files, by the names of their data sets.

    Args:
        output: folder of the new files.
        sources: the annotation file of each data set, by its name.

    Raises:
        UserError: one is an annotation file of the training, or that of two data sets.
    """
    owners: dict[Path, str] = {}
    originals = {source.resolve() for source in sources.values()}
    for name in sources:
        path = output / f"{name.replace('/', '_')}.json"
        if path.resolve() in originals:
            raise UserError(
                f"'{path}' is an annotation file of the training itself, which stays as it is: "
                "choose another --output."
            )
        if path in owners:
            raise UserError(
                f"The data sets '{owners[path]}' and '{name}' would both be written to '{path}': "
                "train on them under other names."
            )
        owners[path] = name
    return {name: path for path, name in owners.items()}


def _write_file(
    path: Path,
    columns: LedgerColumns,
    selection: Selection,
    unit: str,
    name: str,
    source: Path,
) -> None:
    of_unit, ids, remove = {
        "images": (columns.images, "image_id", without_images),
        "objects": (columns.objects, "id", with_ignored),
    }[unit]
    is_left_out = ~selection.is_kept & (of_unit["dataset"] == name)
    content = remove(read_json(source), set(of_unit[ids][is_left_out]))
    with replacing(path) as draft:
        draft.write_text(json.dumps(content))


def _write_table(
    path: Path,
    columns: LedgerColumns,
    units: Units,
    selection: Selection,
    classes: Sequence[str],
) -> None:
    of_unit = columns.images if units.noun == "image" else columns.objects
    names = [name for name in ("dataset", "image_id", "id") if name in of_unit]
    reasons = _reasons(units.noun, selection, classes)
    with replacing(path) as draft, open(draft, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "is_kept", "score", "reason", "facts"])
        writer.writerows(
            [*ids, bool(is_kept), f"{score:.6g}", reason, fact]
            for *ids, is_kept, score, reason, fact in zip(
                *(of_unit[name] for name in names),
                selection.is_kept,
                units.scores,
                reasons,
                units.facts,
                strict=True,
            )
        )


def _reasons(noun: str, selection: Selection, classes: Sequence[str]) -> list[str]:
    """Why each unit is kept or not, in words."""
    is_free = selection.strata >= 0
    sizes = np.bincount(selection.strata[is_free])
    kept = np.bincount(selection.strata[is_free & selection.is_kept], minlength=len(sizes))
    reasons = []
    for needed_by, stratum in zip(selection.needed_by, selection.strata, strict=True):
        if needed_by >= 0:
            reasons.append(f"needed for the class '{classes[needed_by]}'")
        else:
            of_range = counted(int(sizes[stratum]), noun)
            reasons.append(f"its range of scores keeps {kept[stratum]:,} of {of_range}")
    return reasons


def _summary(
    classes: Sequence[str],
    columns: LedgerColumns,
    selection: Selection,
    unit: str,
    paths: Sequence[Path],
) -> str:
    is_kept = selection.is_kept[columns.rows] if unit == "images" else selection.is_kept
    rows = []
    for number, name in enumerate(classes):
        own = columns.objects["class"] == number
        images = [len(np.unique(columns.rows[which])) for which in (own, own & is_kept)]
        rows.append([name, *images, int(own.sum()), int((own & is_kept).sum())])
    num_images = [len(columns.images["seen"]), len(np.unique(columns.rows[is_kept]))]
    if unit == "images":
        num_images[1] = int(selection.is_kept.sum())
    rows.append(["all", *num_images, len(is_kept), int(is_kept.sum())])
    table = tabulate(rows, ["class", "images", "kept", "objects", "kept"], intfmt=",")
    return f"{table}\n\nWritten: {', '.join(map(repr, map(str, paths)))}."
