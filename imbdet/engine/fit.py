"""Checks that the weights of a file belong to a model."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from imbdet.errors import UserError

# detectron2's names for the last layers, whose width depends on the number of classes or anchors:
# those of box heads and RetinaNet, mask and semantic heads, the keypoint head, the RPN.
_PREDICTOR = re.compile(
    r"\b(cls_score|bbox_pred|predictor|score_lowres|objectness_logits|anchor_deltas)\.(weight|bias)$"
)
# Prefixes of tensors' names, and the detectors that have them.
_KINDS = {"head.": "a one-stage detector", "roi_heads.": "a two-stage detector"}


def find_dropped(
    model: nn.Module, incompatible: Any, shapes: dict[str, tuple]
) -> Iterator[tuple[str, tuple, tuple]]:
    """The tensors that detectron2 matched by similar names and left out for their shape.

    Args:
        model: detector that is loaded.
        incompatible: detectron2's report of keys that did not fit.
        shapes: shapes of all tensors in the file, by name.

    Yields:
        Name in the model, shape in the file, shape in the model.
    """
    state = model.state_dict()
    for name in incompatible.missing_keys:
        matches = [
            other for other in incompatible.unexpected_keys if f".{name}".endswith(f".{other}")
        ]
        if matches:
            yield name, shapes[max(matches, key=len)], tuple(state[name].shape)


def check_fit(
    model: nn.Module, incompatible: Any, shapes: dict[str, tuple], *, strict: bool
) -> None:
    """Refuse a file of another architecture; see :func:`find_dropped`.

    Args:
        strict: whether nothing may be missing, and predictors must have their shapes, too.

    Raises:
        UserError: tensors do not fit; the message names them.
    """
    misfits = [
        f"'{name}' has shape {in_file} in the file, {in_model} in the model"
        for name, in_file, in_model in incompatible.incorrect_shapes
        if strict or not _PREDICTOR.search(name)
    ]
    if strict:
        misfits += [f"'{name}' is missing" for name in incompatible.missing_keys]
    if misfits:
        in_file, in_model = _kind(shapes), _kind(model.state_dict())
        reason = f"it does not fit the model: {_some(misfits)}"
        if in_file and in_model and in_file != in_model:
            reason = f"it is of {in_file}, and the model is {in_model}"
        raise UserError(f"{reason}. Use the config it was trained with, or other weights.")
    names = {name for name, _ in model.named_parameters()}
    names.difference_update(incompatible.missing_keys)
    if not names.difference(name for name, *_ in incompatible.incorrect_shapes):
        raise UserError(
            f"none of its tensors ({_some(map(repr, shapes))}) belongs to the model. Set "
            'MODEL.WEIGHTS to weights of this architecture, or to "" to start from scratch.'
        )


def check_kinds(model: nn.Module, weights: Mapping[str, Tensor | np.ndarray]) -> None:
    """Refuse whole numbers for a floating-point tensor, such as quantized weights.

    Raises:
        UserError: a tensor has whole numbers; the message names it.
    """
    state = model.state_dict()
    for name, values in weights.items():
        if name in state and state[name].is_floating_point():
            dtype = torch.as_tensor(values).dtype
            if not dtype.is_floating_point:
                raise UserError(
                    f"its entry '{name}' has numbers of type {dtype}, but the model takes floating "
                    "point ones: save the weights as these."
                )


def _kind(names: Iterable[str]) -> str | None:
    """The kind of detector that has tensors of these names; None if it is not known."""
    names = list(names)
    for start, kind in _KINDS.items():
        if any(name.startswith(start) for name in names):
            return kind
    return None


def _some(items: Iterable[str]) -> str:
    items = list(items)
    rest = f" and {len(items) - 5} more" if len(items) > 5 else ""
    return ", ".join(items[:5]) + rest
