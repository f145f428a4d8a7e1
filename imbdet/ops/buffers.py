"""Buffers of running quantities: those that states of detectron2 lack, and passes that keep all."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


class KeepsMissingBuffers(nn.Module):
    """Mixin of modules with running quantities, which are their persistent buffers.

    A buffer that a loaded state lacks keeps its value, so that a state of detectron2, which lacks
    our buffers, loads with ``strict=True``. All keep their type, so that a detector in half
    precision goes on counting exactly. They belong to one training: see :func:`running_names`.
    """

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name, buffer in self.persistent_buffers():
            state_dict.setdefault(prefix + name, buffer)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "KeepsMissingBuffers":
        before = list(self.persistent_buffers())
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in before:
            changed = self.get_buffer(name)
            if changed.dtype != buffer.dtype:
                setattr(self, name, buffer.to(changed.device))
        return self

    def persistent_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """The names of the running quantities, and their values."""
        for name, buffer in self.named_buffers(recurse=False):
            if name not in self._non_persistent_buffers_set:
                yield name, buffer


def running_names(model: nn.Module) -> set[str]:
    """Names, in the model's state, of the running quantities of its modules.

    Another training that begins with the weights of the first one computes them anew.
    """
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        if isinstance(module, KeepsMissingBuffers)
        for name, _ in module.persistent_buffers()
    }


@contextlib.contextmanager
def untouched_buffers(module: nn.Module, but: tuple[type[nn.Module], ...] = ()) -> Iterator[None]:
    """Restore the buffers of a module, and their values, after the block.

    Statistics of batch normalization, for instance, thus do not count a pass without training.

    Args:
        module: module whose buffers may change.
        but: kinds of modules in it whose own buffers are not restored.
    """
    owners = [owner for owner in module.modules() if not isinstance(owner, but)]
    kept = [(owner._buffers, dict(owner._buffers)) for owner in owners]
    values = [(x, x.clone()) for _, before in kept for x in before.values() if x is not None]
    try:
        yield
    finally:
        for buffers, before in kept:
            buffers.clear()
            buffers.update(before)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)
