"""Checkpoints that run no code, fit their model, and are whole on the disk."""

import contextlib
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.checkpoint.c2_model_loading import convert_c2_detectron_names
from torch import Tensor, nn

from imbdet.config.files import suggest_file
from imbdet.engine.array_pickle import load_arrays
from imbdet.errors import UserError
from imbdet.files import replacing

logger = logging.getLogger(__name__)

# detectron2's names for the last layers, whose width depends on the number of classes or anchors:
# of the box heads and RetinaNet, of mask and semantic heads, of the keypoint head, of the RPN.
_PREDICTOR = re.compile(
    r"\b(cls_score|bbox_pred|predictor|score_lowres|objectness_logits|anchor_deltas)\.(weight|bias)$"
)


class SafeCheckpointer(DetectionCheckpointer):
    """detectron2's checkpointer, for files that nobody vouches for and disks that fill up.

    It reads and writes the same files, but loading runs no code from them, weights of another
    architecture are refused, and a file appears under its name only when it is complete.

    Args:
        model: the detector, also inside ``DistributedDataParallel``.
        save_dir: folder of the checkpoints.
        strict: whether every tensor of the model must be in the file, with its shape, as for an
            evaluation. Otherwise the file may lack tensors, and predictors for another number of
            classes are left out with a warning. A resumed run is always strict.
        kwargs: ``save_to_disk`` and the checkpointables, such as ``optimizer``.
    """

    def __init__(
        self, model: nn.Module, save_dir: str = "", *, strict: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(model, save_dir, **kwargs)
        self.strict = strict
        # `save` and `tag_last_checkpoint` of the parents write through it.
        self.path_manager = _WholeFiles(self.path_manager)

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """See :class:`DetectionCheckpointer`.

        Raises:
            UserError: the file is missing, cannot be read, asks to run code, or does not fit.
        """
        try:
            return super().load(path and self._local_file(path), checkpointables)
        except UserError as error:
            raise UserError(f"Cannot load '{path}': {error}") from error
        finally:
            # The main branch forgets to after an error, and then refuses every later call.
            self._parsed_url_during_load = None

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """See :class:`DetectionCheckpointer`."""
        if not (resume and self.has_checkpoint()):
            return super().resume_or_load(path, resume=False)
        self.strict = True
        try:
            return super().resume_or_load(path, resume=True)
        except UserError as error:
            tag = os.path.join(self.save_dir, "last_checkpoint")
            raise UserError(
                f"{error} '{tag}' points to it: write the name of an intact checkpoint there, or "
                "delete it to start from MODEL.WEIGHTS."
            ) from error

    def _local_file(self, path: str) -> str:
        try:
            local_path = self.path_manager.get_local_path(path)
        except Exception as error:  # URLError, a name that detectron2's catalog lacks, ...
            raise UserError(
                f"it cannot be fetched ({error}). Download it by hand and set MODEL.WEIGHTS to "
                'that file, or to "" to start from scratch.'
            ) from error
        if os.path.isdir(local_path):
            raise UserError("it is a folder; name a file.")
        if not os.path.exists(local_path):
            hint = suggest_file(local_path, (".pth", ".pkl", ".pyth"))
            raise UserError(f"it does not exist. {hint}")
        return local_path

    def _load_file(self, filename: str) -> dict[str, Any]:
        # The parent reads .pkl and .pyth without restriction.
        checkpoint = _read(filename)
        if not isinstance(checkpoint, dict):
            raise _not_weights("it", checkpoint)
        if filename.endswith(".pyth"):  # pycls
            checkpoint = {"model": checkpoint.get("model_state"), "matching_heuristics": True}
        elif "model" not in checkpoint and filename.endswith(".pkl"):
            return self._from_caffe2(checkpoint.get("blobs", checkpoint))
        elif "model" not in checkpoint:
            checkpoint = {"model": checkpoint}
        _check_tensors(checkpoint["model"])
        return checkpoint

    def _from_caffe2(self, blobs: dict[str, np.ndarray]) -> dict[str, Any]:
        _check_tensors(blobs)
        blobs = {name: blob for name, blob in blobs.items() if not name.endswith("_momentum")}
        self._convert_ndarray_to_tensor(blobs)
        # Renamed here, not by the parent: `_load_model` needs the names that it matches.
        model, _ = convert_c2_detectron_names(blobs)
        return {"model": model, "matching_heuristics": True}

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        shapes = {name: tuple(value.shape) for name, value in checkpoint["model"].items()}
        incompatible = super()._load_model(checkpoint)
        if checkpoint.get("matching_heuristics"):
            incompatible.incorrect_shapes.extend(self._dropped_by_heuristics(shapes, incompatible))
        # The parent counts what it skipped for its shape as missing too.
        skipped = {name for name, *_ in incompatible.incorrect_shapes}
        missing = [name for name in incompatible.missing_keys if name not in skipped]
        incompatible = incompatible._replace(missing_keys=missing)
        self._check_fit(incompatible, shapes)
        return incompatible

    def _dropped_by_heuristics(
        self, shapes: dict[str, tuple], incompatible: Any
    ) -> Iterator[tuple[str, tuple, tuple]]:
        """The tensors that the parent matched by name and left out for their shape."""
        model = self.model.state_dict()
        for name in incompatible.missing_keys:
            matches = [
                other for other in incompatible.unexpected_keys if f".{name}".endswith(f".{other}")
            ]
            if matches:
                yield name, shapes[max(matches, key=len)], tuple(model[name].shape)

    def _check_fit(self, incompatible: Any, shapes: dict[str, tuple]) -> None:
        """Raise if the file belongs to another architecture."""
        misfits = [
            f"'{name}' has shape {in_file} in the file, {in_model} in the model"
            for name, in_file, in_model in incompatible.incorrect_shapes
            if self.strict or not _PREDICTOR.search(name)
        ]
        if self.strict:
            misfits += [f"'{name}' is missing" for name in incompatible.missing_keys]
        if misfits:
            raise UserError(
                f"it does not fit the model: {_some(misfits)}. Use the config it was trained with, "
                "or other weights."
            )
        names = {name for name, _ in self.model.named_parameters()}
        names.difference_update(incompatible.missing_keys)
        if not names.difference(name for name, *_ in incompatible.incorrect_shapes):
            raise UserError(
                f"none of its tensors ({_some(map(repr, shapes))}) belongs to the model. Set "
                'MODEL.WEIGHTS to weights of this architecture, or to "" to start from scratch.'
            )

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        if incompatible.incorrect_shapes:
            skipped = ", ".join(
                f"'{name}' {in_file} for {in_model}"
                for name, in_file, in_model in incompatible.incorrect_shapes
            )
            logger.warning(
                f"Not loaded, because they are for another number of classes or anchors: {skipped}."
            )
        super()._log_incompatible_keys(incompatible._replace(incorrect_shapes=[]))


class _WholeFiles:
    """A path manager under which a written file appears complete or not at all."""

    def __init__(self, path_manager: Any) -> None:
        self._path_manager = path_manager

    def __getattr__(self, name: str) -> Any:
        return getattr(self._path_manager, name)

    def open(self, path: str, mode: str = "r") -> Any:
        return _write_whole(path, mode) if "w" in mode else self._path_manager.open(path, mode)


@contextlib.contextmanager
def _write_whole(path: str, mode: str) -> Iterator[IO]:
    with replacing(Path(path)) as draft, open(draft, mode) as file:
        yield file


def _read(filename: str) -> Any:
    try:
        if filename.endswith(".pkl"):
            return load_arrays(filename)
        return torch.load(filename, map_location="cpu", weights_only=True)
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


def _check_tensors(model: Any) -> None:
    if not isinstance(model, dict):
        raise _not_weights("its model", model)
    for name, value in model.items():
        if not (isinstance(name, str) and isinstance(value, Tensor | np.ndarray)):
            raise _not_weights(f"its entry '{name}'", value)


def _not_weights(what: str, value: Any) -> UserError:
    return UserError(
        f"{what} is of type {type(value).__name__}, but weights are tensors by name. Save the "
        "state dict alone: torch.save({'model': state_dict}, ...)."
    )


def _some(items: Iterable[str]) -> str:
    items = list(items)
    rest = f" and {len(items) - 5} more" if len(items) > 5 else ""
    return ", ".join(items[:5]) + rest
