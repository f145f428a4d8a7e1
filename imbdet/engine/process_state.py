"""The states that differ between processes and belong in a checkpoint."""

import logging
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.utils import comm
from torch import Tensor, nn

from imbdet.engine.checkpoint_file import check_weights
from imbdet.engine.training_state import taking_up
from imbdet.errors import UserError
from imbdet.wording import counted

logger = logging.getLogger(__name__)


def gather_process_states(
    quantities: Mapping[str, Tensor], hooks: dict[str, Any]
) -> list[dict[str, Any]]:
    """The states of all processes, by rank; an empty list on other processes than the main one.

    A collective call.

    Args:
        quantities: tensors by name, which each process has for itself, such as
            :func:`running_quantities`. Only those that differ from the main process's are kept.
        hooks: state of the hooks of this process. That of the main one, which may be large, is left
            out, as the checkpoint already has it.
    """
    buffers = {name: value.cpu() for name, value in quantities.items()}
    own = {} if comm.is_main_process() else {"hooks": hooks}
    states = comm.gather({"buffers": buffers, "random": get_random_states(), **own})
    for state in states:
        state["buffers"] = {
            name: buffer
            for name, buffer in state["buffers"].items()
            if not torch.equal(buffer, buffers[name])
        }
    return states


def find_own_state(states: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The state of this process; None, with a warning, where another number was saved."""
    num_now = comm.get_world_size()
    if len(states) == num_now:
        return states[comm.get_rank()]
    if comm.is_main_process():
        logger.warning(
            "The checkpoint has no state of random numbers and of the order of images: they start "
            "anew. The rest continues exactly."
            if not states
            else f"The checkpoint is of {counted(len(states), 'process', 'processes')} and goes on "
            f"with {num_now}: random numbers start anew, running quantities are those of the first "
            "process, and images meet others in their batches. The rest goes on exactly."
        )
    return None


def restore_process_state(quantities: Mapping[str, Tensor], state: dict[str, Any]) -> None:
    """Restore the quantities, in place, and the random states of this process.

    Quantities that the config no longer asks for, such as averages of weights, are left out.

    Args:
        quantities: see :func:`gather_process_states`; those of the main process are loaded already.
        state: state of this process.

    Raises:
        UserError: the state is of another model, or not one of :func:`gather_process_states`.
    """
    check_weights(state["buffers"])
    for name, value in state["buffers"].items():
        quantity = quantities.get(name)
        if quantity is None:
            continue
        if value.shape != quantity.shape:
            raise UserError(f"its buffer '{name}' of a process is of another model.")
        quantity.copy_(value)
    with taking_up("random numbers"):
        set_random_states(state["random"])


def get_random_states() -> dict[str, Any]:
    """The states of the global generators, as tensors and plain numbers."""
    name, keys, *rest = np.random.get_state()
    states = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():  # the process works on a GPU
        states["cuda"] = torch.cuda.get_rng_state()  # of the process's own GPU
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Restore ``states``; a GPU that was not used then, or is not used now, is left alone."""
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(states["cuda"])


def running_quantities(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that a checkpoint holds, such as a loss's normalizer."""
    names = model.state_dict().keys()
    return {name: buffer for name, buffer in model.named_buffers() if name in names}


def changing_buffers(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Names and tensors of the buffers that a forward pass may change."""
    return [
        (f"{prefix}.{name}" if prefix else name, buffer)
        for prefix, module in model.named_modules()
        if not isinstance(module, FrozenBatchNorm2d)
        for name, buffer in module.named_buffers(recurse=False)
    ]
