"""Imports of torch and detectron2 take seconds and leave millions of objects: both made cheaper."""

import atexit
import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import without garbage collections, and keep what was imported out of later ones.

    They would go through millions of objects again and again, of which none is garbage.
    """
    was_enabled, num_modules = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > num_modules:
            gc.freeze()
            atexit.register(gc.unfreeze)  # modules that are torn down expect a collection
        if was_enabled:
            gc.enable()
