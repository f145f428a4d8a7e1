"""Reads checkpoint files without running code, and checks that they are complete.

Files are written in torch's format, which any version of torch reads. It is a zip archive, and its
comment is a checksum of all bytes before.
"""

import hashlib
import mmap
import re
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imbdet.engine.tensor_pickle import check_tensors, is_archive
from imbdet.errors import UserError
from imbdet.files import replacing
from imbdet.untrusted.array_pickle import load_arrays
from imbdet.untrusted.reading import require_file

# The last record of a zip archive: its start, its length, and its last two bytes, the length of the
# comment that follows.
_END, _END_SIZE = b"PK\x05\x06", 22
_TAG = b"sha256:"
_COMMENT_SIZE = len(_TAG) + hashlib.sha256().digest_size * 2
_SEAL_SIZE = 2 + _COMMENT_SIZE
_SEAL_START = struct.pack("<H", _COMMENT_SIZE) + _TAG


def write_sealed(path: Path, content: bytes) -> None:
    """Write an output of ``torch.save`` with a checksum; the file appears when it is complete.

    Raises:
        UserError: the file cannot be written.
    """
    body = memoryview(content)[:-2]  # without the length of its comment, 0
    with replacing(path) as draft, open(draft, "wb") as file:
        file.write(body)
        file.write(_SEAL_START + hashlib.sha256(body).hexdigest().encode())


def read_checkpoint(path: str, extra_types: Sequence[type] = ()) -> Any:
    """Read a file of torch, or a pickle of arrays (.pkl), onto the CPU; no code of it is run.

    Args:
        path: path of the file.
        extra_types: types that a file of torch may hold beside tensors and plain values.

    Raises:
        UserError: the file cannot be read, is truncated, altered or no checkpoint, asks to run
            code, or would take hours or more memory than it has bytes.
    """
    try:
        require_file(path)
        if path.endswith(".pkl"):
            return load_arrays(path)
        is_sealed = _check_seal(path)
        check_tensors(path, extra_types)
        if not is_sealed:
            _check_parts(path)
        with torch.serialization.safe_globals(list(extra_types)):
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


def check_weights(model: Any, *, must_be_finite: bool = True) -> None:
    """Refuse anything but a dict of tensors or arrays of real numbers.

    Args:
        model: object to check.
        must_be_finite: whether NaN and infinite values are refused, too.

    Raises:
        UserError: an entry is wrong; the message names the first one.
    """
    if not isinstance(model, dict):
        raise not_weights("its model", model)
    for name, value in model.items():
        if not (isinstance(name, str) and isinstance(value, Tensor | np.ndarray)):
            raise not_weights(f"its entry '{name}'", value)
        values = torch.as_tensor(value)
        if values.is_complex():
            raise UserError(f"its entry '{name}' has complex numbers, which are no weights.")
        if must_be_finite and values.is_floating_point() and not values.float().isfinite().all():
            raise UserError(
                f"its entry '{name}' has values that are not finite: the training that wrote it "
                "went wrong. Take an earlier one."
            )


def not_weights(what: str, value: Any) -> UserError:
    """The error for a file that holds something other than weights."""
    return UserError(
        f"{what} is of type {type(value).__name__}, but weights are tensors by name. Save the "
        "state dict alone: torch.save({'model': state_dict}, ...)."
    )


def _check_seal(path: str) -> bool:
    """Whether a file has a checksum of all its bytes.

    Raises:
        UserError: the checksum is wrong.
        EOFError: the end is missing.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        seal = data[-_SEAL_SIZE:]
        if not is_archive(file):
            return False  # torch's format before 1.6, or no file of torch
        if not seal.startswith(_SEAL_START):
            if data[-_END_SIZE:].startswith(_END):
                return False  # the comment of another program
            raise EOFError  # it is truncated
        with memoryview(data) as view, view[:-_SEAL_SIZE] as body:
            digest = hashlib.sha256(body).hexdigest().encode()
    if not seal.endswith(digest):
        raise _damaged()
    return True


def _check_parts(path: str) -> None:
    """Compare the checksums that an archive has of each tensor."""
    with open(path, "rb") as file:
        if not is_archive(file):
            return  # torch's format before 1.6 has none
        with zipfile.ZipFile(file) as archive:
            if archive.testzip() is not None:
                raise _damaged()


def _damaged() -> UserError:
    return UserError("it is damaged: its checksum differs. Copy or download it again.")
