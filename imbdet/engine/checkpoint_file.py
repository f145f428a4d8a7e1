"""Checkpoint files: reading them without running code, and telling whether they are whole.

A file that is written here is torch's own, which any version of torch reads. It is a zip archive,
and its comment is a checksum of all bytes before.
"""

import hashlib
import mmap
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imbdet.engine.array_pickle import load_arrays
from imbdet.errors import UserError
from imbdet.files import replacing

# What a zip archive begins with, as torch tells one; and its last record: its start, its length,
# and its last two bytes, the length of the comment that follows.
_BEGIN, _END, _END_SIZE = b"PK\x03\x04", b"PK\x05\x06", 22
_TAG = b"sha256:"
_COMMENT_SIZE = len(_TAG) + hashlib.sha256().digest_size * 2
_SEAL_SIZE = 2 + _COMMENT_SIZE
_SEAL_START = struct.pack("<H", _COMMENT_SIZE) + _TAG


def write_sealed(path: Path, content: bytes) -> None:
    """Write what ``torch.save`` made, with a checksum; the file appears when it is complete.

    Raises:
        UserError: the disk does not take it.
    """
    body = memoryview(content)[:-2]  # without the length of the comment, which is 0
    with replacing(path) as draft, open(draft, "wb") as file:
        file.write(body)
        file.write(_SEAL_START + hashlib.sha256(body).hexdigest().encode())


def read_checkpoint(path: str) -> Any:
    """Read a file of torch, or a pickle of arrays (.pkl).

    Raises:
        UserError: it cannot be read, is truncated, altered or no checkpoint, or asks to run code.
    """
    try:
        if path.endswith(".pkl"):
            return load_arrays(path)
        _check_bytes(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"it cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # a damaged pickle can raise anything
        forbidden = re.search(r"GLOBAL (\S+)", str(error))
        if forbidden:
            raise UserError(
                f"it asks to run '{forbidden[1]}', while weights hold nothing but tensors. It was "
                "refused and nothing was run; get the file from its authors, or save its state "
                "dict alone."
            ) from error
        raise UserError(
            f"it is truncated or not a checkpoint ({type(error).__name__}). Copy or download it "
            "again."
        ) from error


def check_weights(model: Any) -> None:
    """Raise UserError unless ``model`` is tensors or arrays by name."""
    if not isinstance(model, dict):
        raise not_weights("its model", model)
    for name, value in model.items():
        if not (isinstance(name, str) and isinstance(value, Tensor | np.ndarray)):
            raise not_weights(f"its entry '{name}'", value)


def not_weights(what: str, value: Any) -> UserError:
    """The error of a file that holds something else."""
    return UserError(
        f"{what} is of type {type(value).__name__}, but weights are tensors by name. Save the "
        "state dict alone: torch.save({'model': state_dict}, ...)."
    )


def _check_bytes(path: str) -> None:
    """Raise UserError if a checksum of the file is wrong, EOFError if its end is missing."""
    with open(path, "rb") as file:
        if file.read(len(_BEGIN)) != _BEGIN:
            return  # torch's format before 1.6, or nothing that torch can read
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            seal, end = data[-_SEAL_SIZE:], data[-_END_SIZE:]
            if seal.startswith(_SEAL_START):
                with memoryview(data) as view, view[:-_SEAL_SIZE] as body:
                    digest = hashlib.sha256(body).hexdigest().encode()
                is_whole = seal.endswith(digest)
            elif end.startswith(_END):  # of somebody else, who has a checksum for each tensor
                with zipfile.ZipFile(file) as archive:
                    is_whole = archive.testzip() is None
            else:
                raise EOFError  # it is truncated
    if not is_whole:
        raise UserError("it is damaged: its checksum differs. Copy or download it again.")
