"""Running quantities: those that plain detectron2 lacks, and passes that leave all as they are."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


class KeepsMissingBuffers(nn.Module):
    """Mixin of modules with running quantities, which are their persistent buffers.

    One that a loaded state lacks keeps its value, so that a state of detectron2, which lacks our
    buffers, loads with ``strict=True``. They are of one training: :func:`running_names`.
    """

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name, buffer in self.named_buffers(recurse=False):
            if name not in self._non_persistent_buffers_set:
                state_dict.setdefault(prefix + name, buffer)
        super()._load_from_state_dict(state_dict, prefix, *args)


def running_names(model: nn.Module) -> set[str]:
    """The names in the model's state of what its modules gather in a training.

    Another training, which begins with the weights of the first one, gathers anew.
    """
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, KeepsMissingBuffers)
        for name, _ in module.named_buffers(recurse=False)
        if name not in module._non_persistent_buffers_set
    }


@contextlib.contextmanager
def untouched_buffers(module: nn.Module) -> Iterator[None]:
    """Let a module compute, and give its buffers the values back that they had.

    So that statistics of batch normalization, for instance, do not count a pass that only looks.
    """
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
