"""Weights of the objects and images of data: "weight", and MODEL.CLASS_WEIGHTS."""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor

from imbdet.data.objects import classes_of, is_object, objects_of
from imbdet.data.plausibility import describe_box
from imbdet.errors import UserError, suggest
from imbdet.losses import class_balanced_weights
from imbdet.wording import counted

logger = logging.getLogger(__name__)

RULES = ("inverse", "sqrt_inverse", "effective_number")
_KEY = "MODEL.CLASS_WEIGHTS"
_FORM = (
    f"It can be one of {', '.join(map(repr, RULES))}, or numbers by the names of classes, such as "
    "{cat: 2.0, dog: 0.5}."
)


def weigh_records(records: Sequence[dict], factors: Sequence[float]) -> list[dict]:
    """Give each image and each of its objects its "weight", if any of them has one.

    Args:
        records: detectron2's dicts.
        factors: weights of the classes, see :func:`class_weights`; an object's weight is that of
            its annotation times that of its class.

    Returns:
        The records themselves if there are no weights, otherwise copies.

    Raises:
        UserError: a weight is not a number of at least 0, or an ignored object has one.
    """
    _check_weights(records)
    images = [record.get("weight", 1) for record in records]
    notes = [note for record in records for note in objects_of(record)]
    weights = [note.get("weight", 1) * factors[note["category_id"]] for note in notes]
    if all(weight == 1 for weight in (*images, *weights)):
        return list(records)
    logger.info(_describe(images, weights))
    return [_weighted(record, factors) for record in records]


def class_weights(cfg: CfgNode, counts: Sequence[int], classes: Sequence[str]) -> list[float]:
    """The weight of each class by MODEL.CLASS_WEIGHTS.

    Weights by a rule have the mean 1 over all objects: classes get other shares of the losses, and
    objects the same weight in relation to the background.

    Args:
        cfg: the config.
        counts: numbers of objects of each class.
        classes: names of the classes.

    Raises:
        UserError: see :func:`read_class_weights`; or the key names a class that does not exist.
    """
    value = read_class_weights(cfg)
    if isinstance(value, str):
        return _by_rule(value, counts, classes, beta=cfg.MODEL.CLASS_WEIGHTS_BETA)
    return _by_name(value, classes)


def read_class_weights(cfg: CfgNode) -> str | Mapping[str, float]:
    """MODEL.CLASS_WEIGHTS: one of ``RULES``, or numbers by the names of classes.

    Raises:
        UserError: the value has another form, or a weight is not a number of at least 0.
    """
    value = cfg.MODEL.CLASS_WEIGHTS
    if len(value) == 0:
        return {}
    if len(value) == 1 and isinstance(value[0], str) and value[0] in RULES:
        return value[0]
    if len(value) == 1 and isinstance(value[0], Mapping):
        for name, weight in value[0].items():
            if not _is_weight(weight):
                raise UserError(
                    f"{_KEY} gives {name!r} the weight {weight!r}: it must be a number of at least "
                    "0."
                )
        return value[0]
    hint = f" {suggest(value[0], RULES)}" if isinstance(value[0], str) else ""
    raise UserError(f"{_KEY} is {value!r}.{hint} {_FORM}")


def count_objects(records: Iterable[Mapping], num_classes: int) -> list[int]:
    """Number of objects of each class, without crowds and ignored objects."""
    counts = Counter(number for record in records for number in classes_of(record))
    return [counts[number] for number in range(num_classes)]


def _by_rule(
    rule: str, counts: Sequence[int], classes: Sequence[str], *, beta: float
) -> list[float]:
    numbers = torch.tensor(counts, dtype=torch.float64)
    unseen = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if unseen:
        logger.warning(
            f"{_KEY} is {rule!r}, but {counted(len(unseen), 'class', 'classes')} of the training "
            f"data, {unseen[0]!r} first, {'has' if len(unseen) == 1 else 'have'} no object: what "
            "they weigh has no effect."
        )
    weights = _rule(rule, numbers, beta)
    mean = (weights * numbers).sum() / numbers.sum().clamp(min=1)
    scaled: list[float] = torch.where(numbers > 0, weights / mean, 1.0).tolist()
    return scaled


def _rule(rule: str, numbers: Tensor, beta: float) -> Tensor:
    """(K,) weights of the classes, up to a common factor."""
    if rule == "effective_number":
        return class_balanced_weights(numbers, beta=beta)
    power = {"inverse": -1.0, "sqrt_inverse": -0.5}[rule]
    return numbers.clamp(min=1) ** power


def _by_name(numbers: Mapping[str, float], classes: Sequence[str]) -> list[float]:
    for name in numbers:
        if name not in classes:
            raise UserError(
                f"{_KEY} names a class {name!r} that the training data do not have. "
                f"{suggest(str(name), list(classes))}"
            )
    return [float(numbers.get(name, 1)) for name in classes]


def _check_weights(records: Iterable[Mapping]) -> None:
    for record in records:
        if not _is_weight(record.get("weight", 1)):
            raise UserError(
                f"Image '{record['file_name']}' has the weight {record['weight']!r}: it must be a "
                "number of at least 0."
            )
        for note in record.get("annotations", ()):
            if not _is_weight(note.get("weight", 1)):
                raise UserError(
                    f"An object has the weight {note['weight']!r}: it must be a number of at least "
                    f"0. It is {describe_box(note, record)}."
                )
            if note.get("ignore") and "weight" in note:
                raise UserError(
                    f"An object has a weight, although it is ignored: {describe_box(note, record)}."
                    " Remove 'weight' or 'ignore' of its annotation."
                )


def _is_weight(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value < math.inf


def _weighted(record: dict, factors: Sequence[float]) -> dict:
    """A copy of a record with weights, as records may be the catalog's."""
    notes = [
        {**note, "weight": note.get("weight", 1) * factors[note["category_id"]]}
        if is_object(note)
        else note
        for note in record.get("annotations", ())
    ]
    return {**record, "weight": float(record.get("weight", 1)), "annotations": notes}


def _describe(images: Sequence[float], weights: Sequence[float]) -> str:
    parts = [
        f"{kind} from {min(values):.3g} to {max(values):.3g}"
        for kind, values in (("of objects", weights), ("of images", images))
        if any(value != 1 for value in values)
    ]
    return f"Weights of the losses: {', '.join(parts)}."
