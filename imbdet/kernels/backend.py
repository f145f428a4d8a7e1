"""Choice between PyTorch's operations and kernels of Triton for the computation of losses."""

import functools
import logging

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

BACKENDS = ("auto", "torch", "triton")
# Types of logits that have kernels; others, such as float64, are for tests and small problems.
FUSED_TYPES = (torch.float32, torch.bfloat16, torch.float16)
# Least compute capability of an NVIDIA GPU that Triton compiles for.
MIN_CAPABILITY = (7, 0)

_chosen = "auto"


def choose_backend(name: str) -> None:
    """Choose the backend that computes losses from now on, in this process.

    Args:
        name: "torch"; "triton", also on a CPU by Triton's interpreter (TRITON_INTERPRET=1); or
            "auto", which is "triton" on a GPU where it works, and else "torch".

    Raises:
        ValueError: there is no such backend.
    """
    global _chosen
    if name not in BACKENDS:
        raise ValueError(f"{name!r} is no backend: choose one of {', '.join(map(repr, BACKENDS))}")
    _chosen = name


def is_fused(logits: Tensor) -> bool:
    """Whether kernels of Triton compute the losses of these logits."""
    if logits.dtype not in FUSED_TYPES or _chosen == "torch":
        return False
    return _chosen == "triton" or (logits.is_cuda and _works_on(logits.device))


@functools.cache
def _works_on(device: torch.device) -> bool:
    """Whether a kernel of Triton runs on a GPU; the reason is logged, once, if not."""
    capability = torch.cuda.get_device_capability(device)
    if torch.version.cuda is not None and capability < MIN_CAPABILITY:
        reason = f"the GPU's compute capability is {capability[0]}.{capability[1]}"
    else:
        try:
            from imbdet.kernels.fused.probe import run_probe

            run_probe(device)
            return True
        except Exception as error:  # whatever a compiler, a driver or a missing package raises
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    logger.warning(f"Losses are computed by PyTorch's operations, as Triton does not run: {reason}")
    return False
