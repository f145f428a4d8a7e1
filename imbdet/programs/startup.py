"""Make millions of objects quickly, as imports of torch and detectron2 do."""

import atexit
import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Make many objects without garbage collections.

    Collections would go through millions of objects again and again, none of which is garbage.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import without garbage collections, and keep what was imported out of later ones."""
    num_modules = len(sys.modules)
    with without_collections():
        try:
            yield
        finally:
            if len(sys.modules) > num_modules:
                gc.freeze()
                atexit.register(gc.unfreeze)  # modules that are torn down expect a collection
