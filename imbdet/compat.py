"""Lets imbdet run on detectron2 v0.6 as well as on its main branch, with today's libraries.

To be imported before any ``detectron2`` module, which the ``__init__`` of every package that uses
detectron2 does. On a complete, current detectron2 it changes nothing but which warnings are shown.
"""

import importlib.util
import sys
import types
import warnings

from imbdet.errors import UserError

HOW_TO_INSTALL = (
    "Install it with `conda install -c conda-forge detectron2`, build it from its repository, "
    "or let `make setup` bring a locked copy."
)


def require_detectron2() -> None:
    """Make ``import detectron2`` work, or say in one sentence why it cannot.

    Raises:
        UserError: detectron2 is missing, incomplete, or its compiled part does not load.
    """
    spec = importlib.util.find_spec("detectron2")
    if spec is None:
        raise UserError(
            f"detectron2 is not installed. {HOW_TO_INSTALL} All else that imbdet's programs need "
            "comes with `pip install 'imbdet[programs]'`."
        )
    if spec.origin is None or importlib.util.find_spec("detectron2.config") is None:
        folder = next(iter(spec.submodule_search_locations or ["?"]))
        raise UserError(f"detectron2 at '{folder}' is only half installed. {HOW_TO_INSTALL}")
    _admit_missing_extension()
    _restore_pillow_names()
    _hide_deprecations()


def _admit_missing_extension() -> None:
    # v0.6 without its C++ sources: three modules import `_C` at the top, for operators that box
    # detection never calls.
    is_there = "detectron2._C" in sys.modules  # perhaps as a stand-in of the project's own
    if not is_there and importlib.util.find_spec("detectron2._C") is None:
        import detectron2

        detectron2._C = sys.modules["detectron2._C"] = _stand_in_for_extension()
        return
    import torch  # noqa: F401  (the extension links against libraries that torch loads)

    try:
        import detectron2._C
    except ImportError as error:  # built for another torch or another Python
        raise UserError(
            f"detectron2's compiled part does not load here ({error}). {HOW_TO_INSTALL}"
        ) from error


def _stand_in_for_extension() -> types.ModuleType:
    module = types.ModuleType("detectron2._C")
    # `default_setup` of detectron2's own programs logs these.
    module.get_compiler_version = module.get_cuda_version = lambda: "not built"
    module.has_cuda = lambda: False
    return module


def _restore_pillow_names() -> None:
    import PIL.Image

    # Gone since Pillow 10; v0.6 uses it as a default argument in data/transforms/transform.py.
    if not hasattr(PIL.Image, "LINEAR"):
        PIL.Image.LINEAR = PIL.Image.BILINEAR


def _hide_deprecations() -> None:
    # detectron2 compiles its box transforms with torch.jit.script, which newer torch announces to
    # drop.
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.*deprecated")
    # detectron2's mixed precision uses the names of torch.cuda.amp, which moved to torch.amp.
    warnings.filterwarnings("ignore", message=r"`torch\.cuda\.amp\.")
    # detectron2 wraps its models for several processes so.
    warnings.filterwarnings("ignore", message=r"`broadcast_buffers` is deprecated")
    # v0.6 sends objects between processes as a `torch.ByteStorage`.
    warnings.filterwarnings("ignore", message=r"TypedStorage is deprecated")
    # torch asks v0.6's anchor generator for an `indexing` argument of meshgrid that only its main
    # branch passes.
    warnings.filterwarnings("ignore", message=r"torch\.meshgrid: in an upcoming release")


require_detectron2()
