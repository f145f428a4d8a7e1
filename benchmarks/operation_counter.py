"""Counts the operations that each part of an iteration asks of the device."""

import functools
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from imbdet.ops.masks import true_idxs

# Where the parts are: modules, of which some functions belong to another part.
PARTS: dict[str, tuple[str, ...]] = {
    "network": (
        "detectron2.modeling.anchor_generator",
        "detectron2.modeling.backbone",
        "detectron2.modeling.meta_arch",
        "detectron2.modeling.poolers",
        "detectron2.modeling.proposal_generator.rpn",
        "detectron2.modeling.roi_heads",
        "detectron2.structures.image_list",
        "detectors",
        "imbdet.modeling.dense_head",
    ),
    "proposals": (
        "detectron2.modeling.proposal_generator.proposal_utils",
        "detectron2.modeling.proposal_generator.rpn:predict_proposals",
    ),
    "ground truth": (
        "detectron2.modeling.proposal_generator.proposal_utils:add_ground_truth_to_proposals",
        "imbdet.modeling.dense",
        "imbdet.modeling.ground_truth",
        "imbdet.modeling.proposals:priors_of",
    ),
    "preview": ("imbdet.modeling.roi_heads:look",),
    "assign": (
        "detectron2.modeling.matcher",
        "detectron2.modeling.meta_arch.retinanet:label_anchors",
        "detectron2.modeling.proposal_generator.rpn:label_and_sample_anchors",
        "detectron2.modeling.roi_heads.roi_heads:label_and_sample_proposals",
        "imbdet.assigners",
        "imbdet.modeling.batch_matcher",
        "imbdet.modeling.matcher",
    ),
    "sample": (
        "detectron2.modeling.proposal_generator.rpn:_subsample_labels",
        "detectron2.modeling.roi_heads.roi_heads:_sample_proposals",
        "detectron2.modeling.sampling",
        "imbdet.modeling.proposals",
        "imbdet.samplers",
        "imbdet.structures.candidates:take",
    ),
    "weigh": ("imbdet.weighting",),
    "criterion": (
        "detectron2.modeling.meta_arch.retinanet:losses",
        "detectron2.modeling.proposal_generator.rpn:losses",
        "detectron2.modeling.roi_heads.fast_rcnn:losses",
        "imbdet.learning",
        "imbdet.losses",
        "imbdet.modeling",
    ),
    "log": (
        "detectron2.modeling.roi_heads.fast_rcnn:_log_classification_stats",
        "imbdet.learning.sampling_curves",
        "imbdet.modeling.fast_rcnn:log_accuracy",
        "imbdet.modeling.rpn:_log_counts",
    ),
    "check": ("imbdet.learning.finite",),
    "record": ("imbdet.records",),
    "backward": ("torch._tensor",),
}
# Parts to which all operations inside them belong.
WHOLE = ("preview",)

# Operations for which the program waits on a GPU; and indexing by a mask, see `_waits`.
_WAITING = {"_local_scalar_dense", "_unique2", "bincount", "equal", "masked_select", "nonzero"}
# Operations that only allocate memory or find a type.
_IDLE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "promote_types"}
# Functions that copy numbers from a GPU or to one, which are no operations on a CPU.
_BRINGING = {Tensor.cpu, Tensor.new_tensor, Tensor.numpy, Tensor.tolist, torch.tensor}


class OperationCounter(ExitStack):
    """Counts operations from its start to its end.

    Operations of a CPU stand for those of a GPU. Those that compute or copy numbers count, views
    and allocations do not. The program would wait for the device where it asks for a number or for
    the places where a mask is true, or makes a tensor of its own numbers there.

    Attributes:
        operations: number of operations, by part.
        synchronisations: number of times that the program would wait, by part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.synchronisations: Counter[str] = Counter()

    def __enter__(self) -> "OperationCounter":
        super().__enter__()
        self.enter_context(_Functions(self))
        self.enter_context(_Operations(self))
        return self


class _Functions(TorchFunctionMode):
    """Intercepts calls of PyTorch's functions."""

    def __init__(self, counter: OperationCounter):
        super().__init__()
        self._counter = counter

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        # A tensor without a device stays with the program.
        is_brought = function is not torch.tensor or "device" in kwargs
        if function in _BRINGING and is_brought and not _is_told(sys._getframe(1)):
            self._counter.synchronisations[_running_part()] += 1
        return function(*args, **kwargs)


class _Operations(TorchDispatchMode):
    """Intercepts the operations of which the functions are made."""

    def __init__(self, counter: OperationCounter):
        super().__init__()
        self._counter = counter

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        name = operation.overloadpacket.__name__
        if operation.namespace != "profiler" and not operation.is_view and name not in _IDLE:
            part = _running_part()
            self._counter.operations[part] += 1
            self._counter.synchronisations[part] += _waits(name, args)
        return operation(*args, **(kwargs or {}))


def _waits(name: str, args: tuple) -> bool:
    if name in ("index", "index_put", "index_put_"):
        return any(idxs is not None and idxs.dtype == torch.bool for idxs in args[1])
    return name in _WAITING


def _is_told(frame: FrameType) -> bool:
    """Whether NumPy finds a known number of true values, for which a GPU is not waited for."""
    return frame.f_code is true_idxs.__code__ and frame.f_locals["count"] is not None


def _running_part() -> str:
    """The part of the innermost function that belongs to one."""
    found, frame = None, sys._getframe(1)
    while frame is not None:
        part = _part_of(frame.f_globals.get("__name__", ""), frame.f_code.co_name)
        if part in WHOLE:
            return part
        found, frame = found or part, frame.f_back
    return found or "other"


@functools.cache
def _part_of(module: str, function: str) -> str | None:
    """The part that names a function, or else the longest name of its module."""
    places = {place: part for part, names in PARTS.items() for place in names}
    if f"{module}:{function}" in places:
        return places[f"{module}:{function}"]
    names = module.split(".")
    owners = (".".join(names[:end]) for end in range(len(names), 0, -1))
    return next((places[owner] for owner in owners if owner in places), None)
