"""``imbdet clean``: from the folder of a run to a folder of suspects."""

import argparse
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from tabulate import tabulate

from imbdet.cleaning.crops import save_crop
from imbdet.cleaning.training_data import TrainingData, load_training_data
from imbdet.compare.run_folders import open_run
from imbdet.engine.logs import setup_logging
from imbdet.engine.progress import with_progress
from imbdet.errors import UserError, suggest
from imbdet.files import opening_output, replacing
from imbdet.report import write_suspects_page
from imbdet.suspects import KINDS, Suspect
from imbdet.suspects.changes import POLICIES, Changes
from imbdet.suspects.doubt import confused_classes, describe_confused
from imbdet.suspects.exports import to_fiftyone, to_label_studio
from imbdet.suspects.suspect_columns import to_table
from imbdet.wording import counted

logger = logging.getLogger(__name__)

_SHOWN = 5  # suspects of each kind in the terminal
_CROP = re.compile(rf"({'|'.join(kind.name for kind in KINDS)})_\d{{4,}}\.webp")


def clean_run(args: argparse.Namespace) -> None:
    """Write the suspects among the annotations of a run by its ledger; see docs/clean.md.

    Args:
        args: arguments ``run_folder``, ``output``, ``dataset``, ``num``, ``policy`` and
            ``threshold`` of ``imbdet clean``.

    Raises:
        UserError: the run has no ledger of its data as they are now, or the folder cannot be
            written to.
    """
    thresholds = _read_options(args)
    folder = Path(args.run_folder)
    run = open_run(folder, folder.resolve().name)
    output = Path(args.output or folder / "clean")
    data = load_training_data(run, args.dataset)
    _refuse_annotations(run.cfg, output)
    with opening_output(output):
        setup_logging(str(output), rank=0)
    logger.info(f"Suspects among the annotations of '{data.name}', '{data.json_file}':")
    kinds = [kind(data.evidence) for kind in KINDS]
    ranked = [suspect for kind in kinds for suspect in kind.ranked(args.num)]
    _print(ranked)
    objects = data.evidence.objects
    confused = confused_classes(objects["judged"], objects["rival_mean"], objects["class"]).tolist()
    if confused:
        logger.warning(describe_confused([data.classes[number] for number in confused]))
    _write_tables(ranked, data, confused, output)
    original = data.original()
    _write_json(output / "label_studio.json", to_label_studio(data.content, ranked, data.classes))
    # Images and classes are named as in the training; annotations have all fields of the file.
    in_coco = {**data.content, "annotations": original["annotations"]}
    exported = to_fiftyone(in_coco, ranked, data.classes, data.category_ids)
    _write_json(output / "fiftyone.json", exported)
    certain = [suspect for kind in kinds for suspect in kind.from_score(thresholds[kind.name])]
    changes = Changes(certain, args.policy, data.category_ids)
    _write_json(output / "cleaned.json", changes.apply(original))
    page = write_suspects_page(output)
    logger.info(
        f"'{output / 'cleaned.json'}' differs from the annotations in "
        f"{counted(changes.count, 'object')}: {POLICIES[args.policy]}. Look through '{page}'."
    )


def _read_options(args: argparse.Namespace) -> dict[str, float]:
    """Check the options, and return the threshold of each kind, by its name."""
    if args.num < 1:
        raise UserError(f"--num is {args.num}: it must be at least 1.")
    if args.policy not in POLICIES:
        raise UserError(f"--policy is '{args.policy}'. {suggest(args.policy, POLICIES)}")
    thresholds = {kind.name: kind.threshold for kind in KINDS}
    for text in args.threshold:
        name, _, number = text.partition("=")
        if name not in thresholds:
            raise UserError(f"--threshold '{text}' names no kind. {suggest(name, thresholds)}")
        try:
            thresholds[name] = float(number)
        except ValueError:
            thresholds[name] = math.nan
        if not 0 < thresholds[name] <= 1:
            raise UserError(
                f"--threshold '{text}': it must be a score above 0 and of at most 1, such as "
                f"{name}=0.5."
            )
    return thresholds


def _refuse_annotations(cfg: CfgNode, output: Path) -> None:
    """Refuse a folder in which a data set of the run has its annotation file."""
    for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        file = MetadataCatalog.get(name).get("json_file")
        if file and Path(file).parent.resolve() == output.resolve():
            raise UserError(
                f"--output '{output}' has the annotations of '{name}', which stay as they are: "
                "choose another folder."
            )


def _print(suspects: Sequence[Suspect]) -> None:
    """Log the first suspects of each kind."""
    for kind in KINDS:
        own = [suspect for suspect in suspects if suspect.kind == kind.name]
        rows = [(f"{s.score:.3f}", s.image_id, s.id or "-", s.reason) for s in own[:_SHOWN]]
        # Ids that look like numbers stay as they are.
        text = tabulate(rows, ("score", "image", "annotation", "evidence"), disable_numparse=True)
        logger.info(f"{kind.title}, {len(own):,} listed\n{text}\n")


def _write_tables(
    suspects: Sequence[Suspect], data: TrainingData, confused: Sequence[int], output: Path
) -> None:
    """Write the suspects as tables, with a picture of each."""
    file_names = {str(image["id"]): image["file_name"] for image in data.content["images"]}
    crops = _save_crops(suspects, data, file_names, output / "crops")
    table = to_table(suspects, data.classes, confused, file_names, crops)
    with replacing(output / "suspects.parquet") as draft:
        pa.parquet.write_table(table, draft, compression="zstd")
    with replacing(output / "suspects.csv") as draft:
        pa.csv.write_csv(table, draft)


def _save_crops(
    suspects: Sequence[Suspect], data: TrainingData, file_names: Mapping[str, str], folder: Path
) -> list[str | None]:
    """Replace the pictures of an earlier call, and return names; None without a readable image."""
    for path in folder.glob("*.webp"):
        if _CROP.fullmatch(path.name):  # the folder may have pictures of other programs
            path.unlink(missing_ok=True)
    numbers: dict[str, int] = {}
    names: list[str | None] = []
    for suspect in with_progress(suspects, "drawing"):
        numbers[suspect.kind] = number = numbers.get(suspect.kind, 0) + 1
        name = f"{suspect.kind}_{number:04d}.webp"
        image = data.image_root / file_names[suspect.image_id]
        try:
            save_crop(suspect, data.classes, image, folder / name)
        except (OSError, ValueError) as error:
            logger.warning(f"'{image}' cannot be read ({error}): a suspect has no picture.")
            names.append(None)
        else:
            names.append(name)
    return names


def _write_json(path: Path, content: Mapping[str, Any] | Sequence[Any]) -> None:
    with replacing(path) as draft:
        draft.write_text(json.dumps(content), encoding="utf-8")
