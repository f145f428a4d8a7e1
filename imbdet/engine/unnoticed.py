"""Lets passes through a detector leave the state of a training as it is."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from imbdet.data.seeding import seed_sequence, seeded_globals
from imbdet.engine.process_state import changing_buffers, get_random_states, set_random_states


@contextlib.contextmanager
def unnoticed_draws(model: nn.Module) -> Iterator[None]:
    """Use random numbers of a fixed seed, and draw no pictures, in a block.

    Afterwards the random numbers of the training go on as if nothing had been drawn.

    Args:
        model: detector; ``VIS_PERIOD`` is for pictures of training batches only.
    """
    states = get_random_states()
    periods = {
        module: module.vis_period for module in model.modules() if hasattr(module, "vis_period")
    }
    for module in periods:
        module.vis_period = 0
    try:
        with seeded_globals(seed_sequence(0)):
            if torch.cuda.is_initialized():
                torch.cuda.manual_seed(0)
            yield
    finally:
        set_random_states(states)
        for module, period in periods.items():
            module.vis_period = period


@contextlib.contextmanager
def unnoticed_buffers(model: nn.Module, but: tuple[type[nn.Module], ...] = ()) -> Iterator[None]:
    """Restore buffers, such as running quantities of losses, after a block.

    Args:
        model: detector whose buffers may change.
        but: kinds of modules whose buffers are not restored.
    """
    before = {name: buffer.clone() for name, buffer in changing_buffers(model, but)}
    try:
        yield
    finally:
        with torch.no_grad():
            # Buffers are looked up anew, as a pass may replace a tensor.
            for name, buffer in changing_buffers(model, but):
                buffer.copy_(before[name])
