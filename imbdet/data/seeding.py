"""Random numbers that are functions of a seed and of what they are for."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

# What random numbers of the data are for, the first number of a key.
SUBSET, EPOCH, IMAGE = range(3)


def seed_sequence(seed: int, *key: int) -> np.random.SeedSequence:
    """Where random numbers start: other keys of the same seed, or other seeds, share nothing."""
    return np.random.SeedSequence(seed, spawn_key=key)


@contextlib.contextmanager
def seeded_globals(sequence: np.random.SeedSequence) -> Iterator[None]:
    """Start the global generators of Python, numpy and torch at ``sequence``, for a while.

    Augmentations draw from them. Afterwards they go on as if nothing had been drawn. Those of GPUs
    stay as they are.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = sequence.generate_state(4)
    random.seed(words.tobytes())
    np.random.seed(words)
    torch.default_generator.manual_seed(int.from_bytes(words[:2].tobytes(), "little"))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
