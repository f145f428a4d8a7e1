"""Reads pickled numpy arrays without ever running what a pickle asks for.

detectron2's model zoo and Caffe2 store weights as pickles, and a pickle is a program. This reader
knows the few functions that numpy writes into one and refuses all others. Even those are not
numpy's own: ``ndarray`` takes any address as its memory, and a ``dtype`` any flags.
"""

import mmap
import os
import pickle
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from imbdet.untrusted.bounded_pickle import MAX_OPERATIONS, Allowance, BoundedUnpickler


def load_arrays(path: str, *, max_operations: int = MAX_OPERATIONS) -> Any:
    """Read a pickle of arrays and numbers in plain containers, of Python 2 or 3.

    Args:
        path: path of the file.
        max_operations: limit of the operations of the pickle.

    Raises:
        pickle.UnpicklingError: the pickle asks for anything else; the message has "GLOBAL" and the
            dotted name. Any other exception: the file is damaged.
    """
    allowance = Allowance(os.path.getsize(path))

    def ordered_dict(items: Iterable[tuple[Any, Any]] = ()) -> OrderedDict[Any, Any]:
        items = list(items)
        allowance.take(len(items))
        return OrderedDict(items)

    functions = {"collections.OrderedDict": ordered_dict, **array_functions(allowance)}
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return BoundedUnpickler(data, functions, max_operations=max_operations).load()


def array_functions(allowance: Allowance) -> dict[str, Any]:
    """The functions that pickles of arrays ask for, by dotted name."""

    class Array(np.ndarray):
        """An array that is filled from a state with a checked dtype."""

        def __setstate__(self, state: tuple[Any, ...]) -> None:
            version, shape, dtype, is_fortran, data = state
            allowance.take(len(data))
            super().__setstate__((version, shape, dtype.dtype, is_fortran, data))

    def empty_array(*_type_shape_and_code: Any) -> Array:
        array: Array = Array(0, np.uint8)  # its state, which follows, sets all
        return array

    def array(
        data: bytes, dtype: _DType, shape: tuple[int, ...], order: Literal["C", "F"], *_: Any
    ) -> np.ndarray:
        allowance.take(len(data))
        values = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
        native: np.ndarray = values.astype(values.dtype.newbyteorder("="))  # torch knows no other
        return native

    return {
        "_codecs.encode": allowance.encode,
        "builtins.bytes": _no_bytes,
        "numpy.dtype": _DType,
        "numpy.ndarray": None,  # named as a type only
        "numpy.core.multiarray._reconstruct": empty_array,
        "numpy.core.multiarray.scalar": _scalar,
        "numpy.core.numeric._frombuffer": array,  # protocol 5
    }


class _DType:
    """A dtype as a pickle has it: a code, then a state of which only the byte order counts."""

    def __init__(self, code: str, *_copy_flags: bool) -> None:
        self.dtype = np.dtype(code)
        if self.dtype.kind not in "biufc":
            raise pickle.UnpicklingError(f"an array of {self.dtype}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


def _no_bytes() -> bytes:
    """Empty bytes, as protocols below 3 ask for; ``bytes`` itself would make any number of them."""
    return b""


def _scalar(dtype: _DType, data: bytes) -> np.generic:
    value: np.generic = np.frombuffer(data, dtype.dtype)[0]
    return value
