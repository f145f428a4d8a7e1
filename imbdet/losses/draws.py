"""Random numbers of losses that draw classes or samples."""

import numpy as np
import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.ops.buffers import KeepsMissingBuffers
from imbdet.ops.exchange import gather


class Draws(KeepsMissingBuffers):
    """Generators whose random numbers are functions of a seed and the number of earlier generators.

    Both are buffers, so that a resumed training draws as if it had never stopped; torch's own
    generator stays as it is.

    Attributes:
        seed: () int64 seed of this process.
        count: () int64 number of the generators of the training so far.
    """

    seed: Tensor
    count: Tensor

    def __init__(self) -> None:
        """Take a seed from torch's generator."""
        super().__init__()
        self.register_buffer("seed", torch.randint(2**31, ()))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def next(self, device: torch.device, group: ProcessGroup | None = None) -> torch.Generator:
        """The next generator; outside a training always the same one.

        Args:
            device: device of the generator.
            group: processes that all get the seed of the first one; None is this one alone.
        """
        seed = self.seed if group is None else gather(self.seed, group)[0]
        key = int(seed), int(self.count)
        if self.training:
            self.count += 1
        (word,) = np.random.SeedSequence(key).generate_state(1)
        return torch.Generator(device).manual_seed(int(word))
