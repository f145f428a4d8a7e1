"""Reads pickled numpy arrays without ever running what a pickle asks for.

detectron2's model zoo and Caffe2 store weights as pickles, and a pickle is a program. This reader
knows the few functions that numpy writes into one and refuses all others. Even those are not
numpy's own: ``ndarray`` takes any address as its memory, and a ``dtype`` any flags.
"""

import codecs
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np


def load_arrays(path: str) -> Any:
    """Read a pickle of arrays and numbers in plain containers, of Python 2 or 3.

    Raises:
        pickle.UnpicklingError: the pickle asks for anything else; the message has "GLOBAL" and the
            dotted name, like that of ``torch.load``. Any other exception: it is damaged.
    """
    with open(path, "rb") as file:
        return _ArrayUnpickler(file, encoding="latin1").load()


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # numpy 2 renamed `core`; a file may come from either side.
        full_name = f"{module}.{name}".replace("numpy._core.", "numpy.core.")
        if full_name not in _ADMITTED:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name} is not an array")
        return _ADMITTED[full_name]


class _DType:
    """A dtype as a pickle has it: a code, then a state of which only the byte order counts."""

    def __init__(self, code: str, *_copy_flags: bool) -> None:
        self.dtype = np.dtype(code)
        if self.dtype.kind not in "biufc":
            raise pickle.UnpicklingError(f"an array of {self.dtype}")

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array that is filled from a state with a checked dtype."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, is_fortran, data = state
        super().__setstate__((version, shape, dtype.dtype, is_fortran, data))


def _empty_array(*_type_shape_and_code: Any) -> _Array:
    return _Array(0, np.uint8)  # its state, which follows, sets all


def _array(data: bytes, dtype: _DType, shape: tuple[int, ...], order: str, *_: Any) -> np.ndarray:
    array = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
    return array.astype(array.dtype.newbyteorder("="))  # torch knows no other


def _scalar(dtype: _DType, data: bytes) -> np.generic:
    return np.frombuffer(data, dtype.dtype)[0]


_ADMITTED = {
    "collections.OrderedDict": OrderedDict,
    # How protocols below 3 write bytes, and no bytes.
    "_codecs.encode": codecs.encode,
    "__builtin__.bytes": bytes,
    "numpy.dtype": _DType,
    "numpy.ndarray": None,  # named as a type only
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array,  # protocol 5
}
