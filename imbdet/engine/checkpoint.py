"""Checkpoints that run no code, fit their model, and are complete on the disk."""

import io
import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.checkpoint.c2_model_loading import convert_c2_detectron_names
from detectron2.utils import comm
from torch import Tensor, nn

from imbdet.data.summary import DataSummary
from imbdet.engine.checkpoint_file import check_weights, not_weights, read_checkpoint
from imbdet.engine.checkpoint_folder import CheckpointFolder
from imbdet.engine.checkpoint_writer import CheckpointWriter
from imbdet.engine.fit import check_fit, check_kinds, find_dropped
from imbdet.engine.weight_average import ENTRY
from imbdet.errors import UserError
from imbdet.ops.buffers import running_names
from imbdet.untrusted.reading import suggest_file
from imbdet.wording import listed

logger = logging.getLogger(__name__)

# The entry with a summary of the training data.
_DATA = "data"
# Entries that the checkpoint of a resumed run may lack.
_ADDED_LATER = {ENTRY}

# The query after a path that matches names by their ends, as in detectron2's main branch.
_MATCHING = "?matching_heuristics="


class SafeCheckpointer(DetectionCheckpointer):
    """detectron2's checkpointer, for untrusted files and disks that fill up.

    It reads and writes the same files, but loading runs no code from them, weights of another
    architecture are refused, and a file appears under its name only when it is complete.

    Attributes:
        learned: summary of the data that the weights loaded last learned from; None if the file has
            none, as those of Detectron2.

    Args:
        model: detector, possibly inside ``DistributedDataParallel``.
        save_dir: folder of the checkpoints.
        strict: whether every tensor of the model must be in the file, with its shape, as for an
            evaluation. Otherwise a training begins with the file: it may lack tensors, predictors
            for another number of classes are left out with a warning, and running quantities, such
            as counts of losses, stay as they are. A resumed run is always strict.
        must_be_finite: whether weights that are NaN or infinite are refused.
        keep: number of the newest numbered files that stay; 0 is all.
        data: summary of the training data, to be kept in the files; None keeps nothing.
        kwargs: ``save_to_disk`` and the checkpointables, such as ``optimizer``.
    """

    def __init__(
        self,
        model: nn.Module,
        save_dir: str = "",
        *,
        strict: bool = False,
        must_be_finite: bool = True,
        keep: int = 0,
        data: DataSummary | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, save_dir, **kwargs)
        self.strict = strict
        self._must_be_finite = must_be_finite
        self._is_resuming = False
        self.learned: DataSummary | None = None
        self._kept = {} if data is None else {_DATA: data.state()}
        self._matches_names = False
        self._folder = CheckpointFolder(Path(save_dir))
        self.writer = CheckpointWriter(self._folder, keep)

    def save(self, name: str, **kwargs: Any) -> None:
        """Save the current state as ``name``.pth, and tag it as the last one.

        A collective call: all processes take part, the main one writes. It returns as soon as the
        state is copied to memory; ``writer`` writes it to the disk.

        Args:
            name: name of the file without its ending.
            kwargs: other entries of the file, such as ``iteration``.

        Raises:
            UserError: the previous file could not be written.
        """
        states = {key: value.state_dict() for key, value in self.checkpointables.items()}
        self._write(name, {"model": self.model.state_dict(), **states, **kwargs}, is_last=True)

    def save_weights(self, name: str, weights: Mapping[str, Tensor], **kwargs: Any) -> None:
        """Save weights as ``name``.pth, for ``MODEL.WEIGHTS``: no training can resume from them.

        On other processes than the main one it does nothing.

        Args:
            name: name of the file without its ending.
            weights: state of the model.
            kwargs: other entries of the file.

        Raises:
            UserError: the previous file could not be written.
        """
        self._write(name, {"model": weights, **kwargs}, is_last=False)

    def _write(self, name: str, parts: Mapping[str, Any], *, is_last: bool) -> None:
        if not (self.save_dir and self.save_to_disk):
            return
        self.writer.wait()
        content = io.BytesIO()
        torch.save({**parts, **self._kept}, content)
        logger.debug(f"Saving checkpoint '{name}.pth'.")
        # The buffer is not used: Python 3.12.1 and 3.13.0 crash when they collect one after an
        # error.
        self.writer.start(f"{name}.pth", content.getvalue(), is_last=is_last)

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict[str, Any]:
        """See :class:`DetectionCheckpointer`.

        Raises:
            UserError: the file is missing, cannot be read, asks to run code, or does not fit.
        """
        file, self._matches_names = _split_query(path)
        try:
            checkpoint = super().load(file and self._local_file(file), checkpointables)
            self.learned = DataSummary.parse(checkpoint.get(_DATA))
            return checkpoint
        except UserError as error:
            raise UserError(f"Cannot load '{path}': {error}") from error
        finally:
            # The main branch does not reset it after an error, and then refuses every later call.
            self._parsed_url_during_load = None

    def has_checkpoint(self) -> bool:
        """Whether the folder has a run that can be resumed."""
        return bool(self.save_dir) and self._folder.holds_run()

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """See :class:`DetectionCheckpointer`. Incomplete files are skipped.

        A collective call: all processes load the file that the main one finds.

        Raises:
            UserError: see :meth:`load`; or the file lacks entries that a resumed run needs.
        """
        if not (resume and self.has_checkpoint()):
            return super().resume_or_load(path, resume=False)
        self.strict = self._is_resuming = True
        try:
            return self.load(str(self._find_intact()))
        except UserError as error:
            raise UserError(
                f"{error} To go on with another checkpoint of the run, write its name into "
                f"'{self._folder.tag}'; to start from MODEL.WEIGHTS, choose another OUTPUT_DIR."
            ) from error

    def _find_intact(self) -> Path:
        found = None
        if comm.is_main_process():
            try:
                found = self._folder.find_intact()
            except UserError as error:
                found = error  # raised below, on all processes
        found = comm.all_gather(found)[0]
        if isinstance(found, UserError):
            raise found
        return found

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
        checkpoint = read_checkpoint(filename)
        if not isinstance(checkpoint, dict):
            raise not_weights("it", checkpoint)
        if filename.endswith(".pyth"):  # pycls
            checkpoint = {"model": checkpoint.get("model_state"), "matching_heuristics": True}
        elif "model" not in checkpoint and filename.endswith(".pkl"):
            return self._from_caffe2(checkpoint.get("blobs", checkpoint))
        elif "model" not in checkpoint:
            checkpoint = {"model": checkpoint}
        check_weights(checkpoint["model"], must_be_finite=self._must_be_finite)
        missing = self.checkpointables.keys() - checkpoint.keys() - _ADDED_LATER
        if self._is_resuming and missing:
            raise UserError(
                "it has weights, but not the optimizer, the schedule and the rest that a training "
                "goes on from: start from it by MODEL.WEIGHTS, in another OUTPUT_DIR."
            )
        if self._matches_names:
            checkpoint["matching_heuristics"] = True
        return checkpoint

    def _from_caffe2(self, blobs: dict[str, np.ndarray]) -> dict[str, Any]:
        check_weights(blobs)
        blobs = {name: blob for name, blob in blobs.items() if not name.endswith("_momentum")}
        self._convert_ndarray_to_tensor(blobs)
        # It is renamed here, not by the parent: `_load_model` needs the names that it matches.
        model, _ = convert_c2_detectron_names(blobs)
        return {"model": model, "matching_heuristics": True}

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        check_kinds(self.model, checkpoint["model"])
        shapes = {name: tuple(value.shape) for name, value in checkpoint["model"].items()}
        begins = {} if self.strict else self._copy_running_quantities()
        incompatible = super()._load_model(checkpoint)
        if checkpoint.get("matching_heuristics"):
            dropped = find_dropped(self.model, incompatible, shapes)
            incompatible.incorrect_shapes.extend(dropped)
        # The parent also counts tensors that it skipped for their shape as missing.
        skipped = {name for name, *_ in incompatible.incorrect_shapes}
        missing = [name for name in incompatible.missing_keys if name not in skipped]
        fitting = [entry for entry in incompatible.incorrect_shapes if entry[0] not in begins]
        incompatible = incompatible._replace(missing_keys=missing, incorrect_shapes=fitting)
        self._begin_anew(begins, skipped)
        check_fit(self.model, incompatible, shapes, strict=self.strict)
        return incompatible

    def _copy_running_quantities(self) -> dict[str, Tensor]:
        state = self.model.state_dict()
        return {name: state[name].clone() for name in sorted(running_names(self.model))}

    def _begin_anew(self, begins: Mapping[str, Tensor], skipped: Collection[str]) -> None:
        """Restore the initial values of running quantities, and log their names.

        Args:
            begins: initial values by name.
            skipped: names of tensors that were not loaded for their shape.
        """
        state = self.model.state_dict()
        others = [name for name, value in begins.items() if not state[name].equal(value)]
        for name in others:
            state[name].copy_(begins[name])
        others += sorted(begins.keys() & skipped)
        if others:
            logger.info(
                "Running quantities begin anew, as those in the file are of another training: "
                f"{listed([repr(name) for name in others])}."
            )

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        if incompatible.incorrect_shapes:
            skipped = ", ".join(
                f"'{name}' {in_file} for {in_model}"
                for name, in_file, in_model in incompatible.incorrect_shapes
            )
            logger.warning(
                "Not loaded, because they are for another number of classes, anchors or columns of "
                f"logits: {skipped}."
            )
        super()._log_incompatible_keys(incompatible._replace(incorrect_shapes=[]))


def _split_query(path: str) -> tuple[str, bool]:
    """A path without the query `_MATCHING`, and whether the query is there and true."""
    file, found, answer = (path or "").partition(_MATCHING)
    if found and answer not in ("True", "False"):
        raise UserError(f"Cannot load '{path}': '{_MATCHING}' must be followed by True or False.")
    return file, answer == "True"
