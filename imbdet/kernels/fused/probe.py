"""A minimal kernel, which checks whether Triton compiles and runs at all."""

import torch
import triton
import triton.language as tl


@triton.jit
def _add_one(values, size: tl.constexpr):
    places = tl.arange(0, size)
    tl.store(values + places, tl.load(values + places) + 1)


def run_probe(device: torch.device) -> None:
    """Compile a kernel and run it.

    Raises:
        RuntimeError: the kernel computes a wrong result.
    """
    values = torch.zeros(16, device=device)
    with torch.cuda.device(device):
        _add_one[(1,)](values, 16)
    if not bool((values == 1).all()):
        raise RuntimeError("a kernel that adds 1 does not")
