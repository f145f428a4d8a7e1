"""Passes through a detector in the middle of a training that does not notice them."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from imbdet.data.seeding import seed_sequence, seeded_globals
from imbdet.engine.process_state import changing_buffers, get_random_states, set_random_states


@contextlib.contextmanager
def unnoticed_draws(model: nn.Module) -> Iterator[None]:
    """Let random numbers start at a seed of their own, and draw no pictures, for a while.

    Afterwards the random numbers of the training go on as if nothing had been drawn.

    Args:
        model: the detector; ``VIS_PERIOD`` asks for pictures of batches of the training alone.
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
    """Let passes change buffers, such as running quantities of losses, and give these back.

    Args:
        model: the detector.
        but: kinds of modules whose buffers keep what the passes make of them.
    """
    before = {name: buffer.clone() for name, buffer in changing_buffers(model, but)}
    try:
        yield
    finally:
        with torch.no_grad():
            # Looked up anew: a pass may put another tensor in the place of one.
            for name, buffer in changing_buffers(model, but):
                buffer.copy_(before[name])
