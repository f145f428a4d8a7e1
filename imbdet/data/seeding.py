"""Random numbers that are functions of a seed and of their purpose."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

# Purposes of random numbers of the data: the first number of a key.
SUBSET, EPOCH, IMAGE = range(3)


def seed_sequence(seed: int, *key: int) -> np.random.SeedSequence:
    """The start of random numbers, which are independent for different seeds and keys."""
    return np.random.SeedSequence(seed, spawn_key=key)


@contextlib.contextmanager
def seeded_globals(sequence: np.random.SeedSequence) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch by ``sequence`` in a block.

    Augmentations draw from these. Afterwards they continue as if no number had been drawn. The
    generators of GPUs are not changed.
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
