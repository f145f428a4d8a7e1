"""Checks a file of ``torch.save`` before torch reads it.

With ``weights_only``, ``torch.load`` runs no code of a file, but trusts the sizes that it states:
those of tensors, even if the file has fewer bytes, and those of other values. Here the pickle in
the file is read with stand-ins for tensors.
"""

import io
import math
import mmap
import os
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, BinaryIO

import torch

from imbdet.errors import UserError
from imbdet.untrusted.array_pickle import array_functions
from imbdet.untrusted.bounded_pickle import Allowance, BoundedUnpickler

# Size limit of the pickle of a checkpoint in bytes, without the tensors' values.
_MAX_PICKLE = 1 << 26
# A file without an archive, of torch before 1.6, starts with this number, then has two pickles
# before that of the value, and one after it.
_MAGIC = 0x1950A86A20F9469CFC6C

_BYTES = {
    **{"Bool": 1, "Byte": 1, "Char": 1, "Short": 2, "Int": 4, "Long": 8},
    **{"Half": 2, "BFloat16": 2, "Float": 4, "Double": 8, "ComplexFloat": 8, "ComplexDouble": 16},
}
_NOT_PLAIN = {
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_qtensor": "quantized",
    "_rebuild_meta_tensor_no_storage": "without values, on the device 'meta'",
    "_rebuild_nested_tensor": "nested",
}


def is_archive(file: BinaryIO) -> bool:
    """Whether torch reads an open file as a zip archive, as it writes since 1.6."""
    file.seek(0)
    return file.read(4) == b"PK\x03\x04"


def check_tensors(path: str, extra_types: Iterable[type] = ()) -> None:
    """Refuse a file that would take ``torch.load`` unreasonable time or memory.

    Args:
        path: path of a file of ``torch.save``.
        extra_types: types that are admitted beside tensors and plain values.

    Raises:
        UserError: the file holds tensors that are not plain.
        pickle.UnpicklingError: the file asks for anything else; the message has "GLOBAL" and the
            dotted name. Any other exception: the file is damaged.
    """
    with open(path, "rb") as file:
        if is_archive(file):
            _check_archive(file, extra_types)
        else:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _check_sequence(data, os.path.getsize(path), extra_types)


def _check_archive(file: BinaryIO, extra_types: Iterable[type]) -> None:
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        # torch does not compress; other programs' files may unpack to any size.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise UserError("it is compressed, which torch.save never does.")
        sizes = {entry.filename: entry.file_size for entry in entries}
        if len(sizes) < len(entries) or sum(sizes.values()) > size:
            raise pickle.UnpicklingError("entries that overlap")
        root = entries[0].filename.split("/")[0]
        if sizes[f"{root}/data.pkl"] > _MAX_PICKLE:
            raise pickle.UnpicklingError("too large a pickle")
        content = archive.read(f"{root}/data.pkl")

    def check_storage(key: Any, num_bytes: int) -> None:
        if num_bytes > sizes[f"{root}/data/{key}"]:
            raise pickle.UnpicklingError("a tensor of more bytes than there are")

    _unpickle(io.BytesIO(content), size, check_storage, extra_types)


def _check_sequence(data: mmap.mmap, size: int, extra_types: Iterable[type]) -> None:
    """Check a file of torch's format before 1.6."""
    num_bytes: dict[Any, int] = {}

    def check_storage(key: Any, number: int) -> None:
        num_bytes[key] = number
        if sum(num_bytes.values()) > size:
            raise pickle.UnpicklingError("tensors of more bytes than there are")

    for index in range(5):
        value = _unpickle(data, size, check_storage, extra_types)
        if index == 0 and value != _MAGIC:
            raise pickle.UnpicklingError("no file of torch")


def _unpickle(
    source: Any, size: int, check_storage: Callable[[Any, int], None], extra_types: Iterable[type]
) -> Any:
    allowance = Allowance(size)

    def storage(pid: tuple) -> _Storage:
        kind, storage_type, key, _location, number = pid[:5]
        if kind != "storage" or not isinstance(number, int) or number < 0:
            raise pickle.UnpicklingError("no storage")
        check_storage(key, number * storage_type.item_bytes)
        return _Storage(storage_type.item_bytes)

    functions = _tensor_functions(allowance, size)
    if extra_types:
        functions |= {f"{kind.__module__}.{kind.__qualname__}": _Object for kind in extra_types}
        functions |= array_functions(allowance)
    return _PlainUnpickler(source, functions, storage).load()


class _PlainUnpickler(BoundedUnpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch._utils" and name in _NOT_PLAIN:
            raise UserError(
                f"it holds a tensor that is {_NOT_PLAIN[name]}: save plain ones (to_dense(), "
                "dequantize(), ...)."
            )
        return super().find_class(module, name)


class _Storage:
    """A stand-in for a storage of values, or for its type."""

    def __init__(self, item_bytes: int) -> None:
        self.item_bytes = item_bytes


class _Object:
    """A stand-in for any other object, whatever its arguments."""

    def __init__(self, *args: Any) -> None: ...
    def __setstate__(self, state: Any) -> None: ...


def _element_types() -> dict[str, Any]:
    """Storages and dtypes by dotted name."""
    storages = {
        f"{module}.{name}Storage": _Storage(item_bytes)
        for name, item_bytes in _BYTES.items()
        for module in ("torch", "torch.cuda")
    }
    dtypes = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
    return {**storages, **dtypes, "torch.storage.UntypedStorage": _Storage(1)}


def _tensor_functions(allowance: Allowance, size: int) -> dict[str, Any]:
    """The functions that pickles of tensors in plain containers call, by dotted name."""

    class Dict(dict):
        """A stand-in for ``OrderedDict``."""

        def __init__(self, items: Sequence[tuple[Any, Any]] = ()) -> None:
            allowance.take(len(items))
            super().__init__(items)

        def __setstate__(self, state: Mapping[str, Any]) -> None:
            # Attributes other than those of torch's modules could replace methods.
            versions = state["_metadata"].values()
            numbers = [version.get("version") or 0 for version in versions]
            if len(state) > 1 or not all(isinstance(number, int) for number in numbers):
                raise pickle.UnpicklingError("attributes of a dict")

    def collection(items: Sequence[Any] | Mapping[Any, Any] = ()) -> Any:
        allowance.take(len(items))
        return items

    def tensor(storage: _Storage, _offset: int, shape: Sequence[int], *_: Any) -> _Object:
        # Strides of 0 would repeat one value without end.
        if len(shape) > 64 or math.prod(shape) * storage.item_bytes > size:
            raise pickle.UnpicklingError("a tensor of more bytes than the file has")
        return _Object()

    def byte_array(text: str, encoding: str) -> bytearray:
        return bytearray(allowance.encode(text, encoding))

    return {
        **_element_types(),
        "torch._utils._rebuild_tensor": tensor,
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_tensor_v3": tensor,
        "torch._utils._rebuild_parameter": lambda data, *_: data,
        "torch.Size": collection,
        "torch.device": _Object,
        "collections.OrderedDict": Dict,
        "collections.Counter": collection,
        "builtins.set": collection,
        "builtins.complex": complex,
        "builtins.bytearray": byte_array,
        "_codecs.encode": allowance.encode,
    }
