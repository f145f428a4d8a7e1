"""Lets passes through a detector leave the random numbers of a training as they are."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from imbdet.data.seeding import seed_sequence, seeded_globals
from imbdet.engine.process_state import get_random_states, set_random_states


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
