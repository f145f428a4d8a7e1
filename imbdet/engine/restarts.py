"""A note from processes of torchrun to those that it starts in their place."""

import os

import torch.distributed as dist

# The key that is set once the training of this job has begun; other programs may use the store.
_BEGUN = "imbdet/begun"


def note_begin() -> None:
    """Let processes that torchrun starts later know that the training of their job has begun."""
    store = _open_store()
    if store is not None:
        store.set(_BEGUN, "")


def has_begun() -> bool:
    """Whether earlier processes of torchrun, of the same job, have begun the training.

    It is False where torchrun keeps no store, or has lost it with the machine of rank 0.
    """
    store = _open_store()
    return store is not None and store.check([_BEGUN])


def _open_store() -> dist.Store | None:
    """The store of torchrun's own process, which outlives those that it restarts."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(host, port, is_master=False)
