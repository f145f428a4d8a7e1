"""What processes under torchrun leave for those that torchrun starts in their place."""

import os

import torch.distributed as dist

# Whether the training of this job has begun, whatever other programs keep in the store.
_BEGUN = "imbdet/begun"


def note_begin() -> None:
    """Let processes that torchrun starts later know that the training of their job has begun."""
    store = _open_store()
    if store is not None:
        store.set(_BEGUN, "")


def has_begun() -> bool:
    """Whether processes that torchrun started before, for the same job, have begun the training.

    Where torchrun keeps no store, or has lost it with the machine of rank 0, nobody knows.
    """
    store = _open_store()
    return store is not None and store.check([_BEGUN])


def _open_store() -> dist.Store | None:
    """The store of torchrun's own process, which outlives those that it restarts."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(host, port, is_master=False)
