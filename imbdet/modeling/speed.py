"""Faster computation of the convolutions of a detector, which keeps its function."""

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from imbdet.errors import UserError
from imbdet.kernels.backend import choose_backend

# Backbone and heads of all detectors; sampling and losses stay in full precision.
PARTS = ("backbone", "head", "proposal_generator.rpn_head", "roi_heads.box_head")


def speed_up(model: nn.Module, cfg: CfgNode) -> None:
    """Change backbone and heads in place, by MODEL.SPEED. Names in the state stay.

    Raises:
        UserError: keys exclude each other, or kernels cannot run.
    """
    keys = cfg.MODEL.SPEED
    _choose_kernels(keys.KERNELS, cfg.MODEL.DEVICE)
    if keys.BFLOAT16 and cfg.SOLVER.AMP.ENABLED:
        raise UserError(
            "MODEL.SPEED.BFLOAT16 and SOLVER.AMP.ENABLED are two kinds of mixed precision: "
            "set one of them to False."
        )
    if keys.CHANNELS_LAST:
        model.to(memory_format=torch.channels_last)
    modules = dict(model.named_modules())
    if keys.BFLOAT16:
        # Where the input is one pixel wide, as P6 of a small image, torch on the CPU computes the
        # gradient of a bfloat16 convolution with strides from uninitialised memory (2.15).
        for name, module in modules.items():
            if name.endswith("top_block"):
                module.forward = _InFloat32(module.forward)
    for part in _parts(modules):
        if keys.BFLOAT16:
            part.forward = _InBFloat16(part.forward)
        if keys.COMPILE:
            part.compile()


def _choose_kernels(name: str, device: str) -> None:
    try:
        choose_backend(name)
    except ValueError as error:
        raise UserError(f"MODEL.SPEED.KERNELS: {error}.") from error
    if name != "triton":
        return
    if importlib.util.find_spec("triton") is None:
        raise UserError(
            "MODEL.SPEED.KERNELS is 'triton', but the package triton is not there: install it, or "
            "set the key to 'auto'."
        )
    if torch.device(device).type == "cpu" and not os.environ.get("TRITON_INTERPRET"):
        raise UserError(
            f"MODEL.SPEED.KERNELS is 'triton', which needs a GPU, but MODEL.DEVICE is {device!r}: "
            "set the key to 'auto'."
        )


def _parts(modules: Mapping[str, nn.Module]) -> Iterator[nn.Module]:
    """The parts that the detector has; for a cascade, the box heads of all stages."""
    for part in (modules[name] for name in PARTS if name in modules):
        yield from part if isinstance(part, nn.ModuleList) else [part]


class _InBFloat16:
    """A forward pass under autocast, whose results are float32 again."""

    def __init__(self, forward: Callable[..., Any]):
        self._forward = forward

    def __call__(self, first: Any, *args: Any) -> Any:
        with torch.autocast(_device_type(first), dtype=torch.bfloat16):
            outputs = self._forward(first, *args)
        return _to_float32(outputs)


class _InFloat32:
    """A forward pass in full precision inside one under autocast."""

    def __init__(self, forward: Callable[..., Any]):
        self._forward = forward

    def __call__(self, *args: Any) -> Any:
        with torch.autocast(_device_type(args[0]), enabled=False):
            return self._forward(*_to_float32(args))


def _device_type(inputs: Any) -> str:
    """Type of the device of a tensor, or of the tensors in a list."""
    return (inputs if isinstance(inputs, Tensor) else inputs[0]).device.type


def _to_float32(outputs: Any) -> Any:
    """Convert tensors to float32, also in dictionaries, lists and tuples."""
    if isinstance(outputs, Tensor):
        return outputs.float()
    if isinstance(outputs, dict):
        return {name: _to_float32(output) for name, output in outputs.items()}
    return type(outputs)(_to_float32(output) for output in outputs)
