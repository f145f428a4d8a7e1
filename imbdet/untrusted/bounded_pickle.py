"""Unpickling within bounds: what a pickle may ask for, how long it may take, and how much memory.

A pickle is a program. Even one that calls nothing but admitted functions may run for hours, ask for
gigabytes in a few bytes, or double a value again and again. A saved value never unpacks to a
multiple of the size of its file.
"""

import codecs
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, Protocol, cast

# A second of work. A checkpoint of a large detector has 50,000 operations.
MAX_OPERATIONS = 1_000_000


class Source(Protocol):
    """A seekable file from which both ``pickle`` and ``pickletools`` can read."""

    def read(self, size: int = ..., /) -> bytes: ...
    def readline(self) -> bytes: ...
    def tell(self) -> int: ...
    def seek(self, position: int, /) -> Any: ...


class Allowance:
    """A limit of the elements or bytes that the values of a pickle may have.

    Args:
        size: size of its file, in bytes.
    """

    def __init__(self, size: int) -> None:
        # A byte is pickled as a character, and made into an array: it is counted twice.
        self._left = 4 * size

    def take(self, number: int) -> None:
        """Use up a number of elements or bytes.

        Raises:
            pickle.UnpicklingError: fewer are left.
        """
        self._left -= number
        if self._left < 0:
            raise pickle.UnpicklingError("it unpacks to a multiple of its size")

    def encode(self, text: str, encoding: str = "latin1") -> bytes:
        """Bytes as protocols below 3 write them; encodings such as "hex" would multiply them.

        Raises:
            pickle.UnpicklingError: the encoding is another than theirs.
        """
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"bytes as {encoding}")
        self.take(len(text))
        return codecs.encode(text, "latin1")


class BoundedUnpickler(pickle.Unpickler):
    """Unpickles one value.

    Args:
        source: file at the beginning of the pickle.
        functions: functions that it may ask for, by dotted name.
        persistent: function that makes a value of an id, which stands for data outside the pickle.
        max_operations: limit of its operations.
    """

    def __init__(
        self,
        source: Source,
        functions: Mapping[str, Any],
        persistent: Callable[[Any], Any] | None = None,
        max_operations: int = MAX_OPERATIONS,
    ) -> None:
        _check_operations(source, max_operations)
        super().__init__(source, encoding="latin1")
        self._functions = functions
        self._persistent = persistent

    def find_class(self, module: str, name: str) -> Any:
        """See :class:`pickle.Unpickler`."""
        # numpy 2 renamed `core`, and Python 3 `__builtin__`; a file may come from either side.
        full_name = f"{module}.{name}".replace("numpy._core.", "numpy.core.")
        full_name = full_name.replace("__builtin__.", "builtins.")
        if full_name not in self._functions:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name} is not admitted")
        return self._functions[full_name]

    def persistent_load(self, pid: Any) -> Any:
        """See :class:`pickle.Unpickler`."""
        if self._persistent is None:
            raise pickle.UnpicklingError("data outside of the pickle")
        return self._persistent(pid)


def _check_operations(source: Source, max_operations: int) -> None:
    """Check the operations of a pickle without running them; leave ``source`` where it was.

    Raises:
        pickle.UnpicklingError: there are too many, or one asks for a memo of gigabytes.
        ValueError: the pickle is damaged.
    """
    start = source.tell()
    for number, (operation, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], source))):
        if number > max_operations:
            raise pickle.UnpicklingError("too many operations")
        # Values are numbered as they come, and Python makes room for all numbers below.
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and (argument or 0) > number + 1:
            raise pickle.UnpicklingError("a memo of gigabytes")
    source.seek(start)
