"""Lets imbdet run on detectron2 v0.6 as well as on its main branch, with today's libraries.

It must be imported before any ``detectron2`` module; the ``__init__`` of every package that uses
detectron2 does so. On a complete, current detectron2 it changes which warnings are shown, and
nothing that is computed.
"""

import importlib.machinery
import importlib.resources
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
    _restore_pkg_resources()
    _admit_norms_of_retinanet()
    _hide_deprecations()


def _admit_missing_extension() -> None:
    # v0.6 without its C++ sources: three modules import `_C` at the top, for operators that box
    # detection never calls.
    is_there = "detectron2._C" in sys.modules  # possibly a stand-in of the project's own
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
    module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, loader=None)
    # `default_setup` of detectron2's own programs logs these.
    module.get_compiler_version = module.get_cuda_version = lambda: "not built"
    module.has_cuda = lambda: False
    return module


def _restore_pillow_names() -> None:
    import PIL.Image

    # Gone since Pillow 10; v0.6 uses it as a default argument in data/transforms/transform.py.
    if not hasattr(PIL.Image, "LINEAR"):
        PIL.Image.LINEAR = PIL.Image.BILINEAR


def _restore_pkg_resources() -> None:
    # Gone since setuptools 82; detectron2's model zoo finds its configs by it.
    if importlib.util.find_spec("pkg_resources") is None:
        sys.meta_path.insert(0, _Finder("detectron2.model_zoo.model_zoo", _ModelZooLoader))


class _Finder:
    """Finds one module, which it leaves to a loader of its own, and nothing else."""

    def __init__(self, name, loader):
        self.name, self.loader = name, loader

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin:
            spec.loader = self.loader(name, spec.origin)
        return spec


class _ModelZooLoader(importlib.machinery.SourceFileLoader):
    """Gives a stand-in for pkg_resources to this module alone: others check whether it exists."""

    def exec_module(self, module):
        stand_in = types.ModuleType("pkg_resources")
        stand_in.resource_filename = _resource_filename
        sys.modules[stand_in.__name__] = stand_in
        try:
            super().exec_module(module)
        finally:
            del sys.modules[stand_in.__name__]


def _resource_filename(package: str, path: str) -> str:
    return str(importlib.resources.files(package).joinpath(path))


def _admit_norms_of_retinanet() -> None:
    # v0.6 builds a norm of one channel to find out its class, which today's torch refuses to do for
    # 32 groups; the main branch builds one of 32 channels.
    name = "detectron2.modeling.meta_arch.retinanet"
    if name in sys.modules:
        _replace_get_norm(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, _RetinaNetLoader))


class _RetinaNetLoader(importlib.machinery.SourceFileLoader):
    """Loads RetinaNet's module with a ``get_norm`` that admits one channel."""

    def exec_module(self, module):
        super().exec_module(module)
        _replace_get_norm(module)


def _replace_get_norm(module: types.ModuleType) -> None:
    from detectron2.layers import get_norm

    def of_32_channels_or_more(norm, out_channels):
        return get_norm(norm, 32 if out_channels == 1 else out_channels)

    module.get_norm = of_32_channels_or_more


def _hide_deprecations() -> None:
    # detectron2 compiles its box transforms with torch.jit.script, which newer torch deprecates.
    warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.*deprecated")
    # detectron2's mixed precision uses the names of torch.cuda.amp, which moved to torch.amp.
    warnings.filterwarnings("ignore", message=r"`torch\.cuda\.amp\.")
    # detectron2 passes this argument when it wraps its models for several processes.
    warnings.filterwarnings("ignore", message=r"`broadcast_buffers` is deprecated")
    # v0.6 sends objects between processes as a `torch.ByteStorage`.
    warnings.filterwarnings("ignore", message=r"TypedStorage is deprecated")
    # torch asks v0.6's anchor generator for an `indexing` argument of meshgrid that only its main
    # branch passes.
    warnings.filterwarnings("ignore", message=r"torch\.meshgrid: in an upcoming release")


require_detectron2()
