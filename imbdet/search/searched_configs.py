"""Checks the configs of all arms before anything is trained, and returns what they share."""

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from detectron2.config import CfgNode

from imbdet.config import load_config
from imbdet.config_files.keys import changed_keys, get_key
from imbdet.data import check_test_sets, load_dataset
from imbdet.data.coco import require_registered
from imbdet.data.weights import count_objects
from imbdet.engine import check_training
from imbdet.engine.setup import check_config
from imbdet.errors import UserError
from imbdet.modeling.detector_kind import num_classes_key
from imbdet.search.halving import default_rungs
from imbdet.search.space import Arm, Space
from imbdet.wording import counted

# Keys that all arms must share: they are compared at the same iteration, after training on the same
# data, on the same images and by the same evaluation.
_SHARED = (
    "SOLVER.MAX_ITER",
    "DATASETS.TRAIN",
    "DATASETS.TEST",
    "DATASETS.COCO",
    "DATASETS.LVIS",
    "TEST.MAX_DETECTIONS",
)
_SHAPES = "DATASETS.SHAPES."


class Shared(NamedTuple):
    """What all arms have in common.

    Attributes:
        rungs: iterations at which they are compared; the last one is the end of the schedule.
        dataset: name of the validation set.
    """

    rungs: tuple[int, ...]
    dataset: str


def load_arm(arm: Arm) -> CfgNode:
    """The config of an arm.

    Raises:
        UserError: a key is unknown or has another type.
    """
    return load_config(*arm.files, opts=arm.opts, where="in the space")


def check_arms(space: Space) -> Shared:
    """Check everything that would be refused later.

    Raises:
        UserError: a key or value does not exist, schedules or data sets differ, rungs do not stop
            at the end of the schedule, or data sets share an image.
    """
    baseline, *others = space.arms.values()
    first = _check_arm(baseline)
    for arm in others:
        for key, (shared, own) in changed_keys(_check_arm(arm), first).items():
            if key in _SHARED or key.startswith(_SHAPES):
                raise UserError(
                    f"'{space.path}': {key} is {shared} in '{baseline.name}' and {own} in "
                    f"'{arm.name}': give all the same."
                )
    if len(first.DATASETS.TEST) != 1:
        raise UserError(
            f"DATASETS.TEST is {first.DATASETS.TEST}: a search validates on one data set; name "
            "that alone."
        )
    if space.final is not None:
        require_registered(space.final.dataset, f"'{space.path}': final")
    _check_splits(space, first)
    return Shared(_find_rungs(space, first), first.DATASETS.TEST[0])


def _check_arm(arm: Arm) -> CfgNode:
    try:
        cfg = load_arm(arm)
        check_config(cfg)
        check_training(cfg)
    except UserError as error:
        raise UserError(f"The arm '{arm.name}' cannot be trained: {error}") from error
    if cfg.TEST.BEST.PATIENCE:
        raise UserError(
            f"The arm '{arm.name}' has a TEST.BEST.PATIENCE of {cfg.TEST.BEST.PATIENCE}, by which "
            "trainings end early: arms are compared at the same iterations, and the split of the "
            "final comparison must not say when its trainings end. Set it to 0."
        )
    return cfg


def _find_rungs(space: Space, cfg: CfgNode) -> tuple[int, ...]:
    end = cfg.SOLVER.MAX_ITER
    if space.rungs is None:
        return default_rungs(end, cfg.SOLVER.WARMUP_ITERS)
    if space.rungs[-1] != end:
        raise UserError(
            f"'{space.path}': the last of the rungs is {space.rungs[-1]:,}, but must be "
            f"SOLVER.MAX_ITER, {end:,}."
        )
    return tuple(space.rungs)


class _Split(NamedTuple):
    """A data set, its role in the search, and detectron2's dicts."""

    name: str
    role: str
    records: Sequence[Mapping[str, Any]]

    def __str__(self) -> str:
        return f"'{self.name}', the data set of {self.role}"

    @property
    def images(self) -> set[str]:
        """The real paths of the image files, as links give a folder several paths."""
        return {os.path.realpath(record["file_name"]) for record in self.records}


def _check_splits(space: Space, cfg: CfgNode) -> None:
    """Check the data of training, validation and the final comparison, before hours pass.

    Raises:
        UserError: two of them share an image, or one of the latter has other classes or no objects.
    """
    training = [
        _Split(name, "training", load_dataset(cfg, name, training=True))
        for name in cfg.DATASETS.TRAIN
    ]
    compared = [(name, "validation") for name in cfg.DATASETS.TEST]
    if space.final is not None:
        compared.append((space.final.dataset, "the final comparison"))
    tests = [_Split(name, role, load_dataset(cfg, name)) for name, role in compared]
    used = [(split, split.images) for split in (*training, *tests)]
    for (split, images), (other, others) in itertools.combinations(used, 2):
        shared = images & others
        if shared and split.role != other.role:
            raise UserError(
                f"{split}, and {other}, share {counted(len(shared), 'image')}, such as "
                f"'{min(shared)}': what was looked at decides nothing any more. Use a split of its "
                "own for each."
            )
    for split in tests:
        _check_test_set(cfg, split)


def _check_test_set(cfg: CfgNode, split: _Split) -> None:
    """Refuse a data set that methods cannot be compared on."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATASETS.TEST = (split.name,)
    check_test_sets(cfg)
    if not any(count_objects(split.records, get_key(cfg, num_classes_key(cfg)))):
        raise UserError(f"{split}, has no objects: nothing can be compared on it.")
