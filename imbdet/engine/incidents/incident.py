"""One iteration of one process that went wrong, with all data that are needed to repeat it."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.structures import BitMasks, Boxes, BoxMode, Instances, Keypoints, PolygonMasks
from torch import Tensor, nn

from imbdet.engine.checkpoint_file import read_checkpoint
from imbdet.errors import UserError
from imbdet.files import replacing
from imbdet.modeling.ground_truth import GroundTruth
from imbdet.untrusted.schema import NUMBER, Each, require_form

# Types in a batch beside tensors: no others are read from a file.
BATCH_TYPES = [
    *(BitMasks, Boxes, BoxMode, GroundTruth, Instances, Keypoints, PolygonMasks),
    *(np.ndarray, np.dtype, type(np.dtype("f4")), type(np.dtype("f8"))),
    np.empty(0).__reduce__()[0],
]
_FORM = {
    **dict.fromkeys(("iteration", "rank", "num_processes"), int),
    **dict.fromkeys(("reason", "config"), str),
    "losses": Each(NUMBER),
    "samples": Each(Tensor),
    "inputs": [dict],
    "is_mixed_precision": bool,
    "random_states": dict,
    "buffers": Each(Tensor),
}


@dataclass(frozen=True)
class Incident:
    """The data of one process in the iteration.

    The weights, which are large and the same on all processes, are in a separate checkpoint.

    Attributes:
        iteration: iteration, from 0.
        rank: rank of the process.
        num_processes: number of processes of the job.
        reason: sentence on why it is an incident.
        losses: losses of this process by name, as far as they were computed.
        samples: samples that are not finite, see :class:`NotFiniteError`; empty without any.
        inputs: batch as the model received it.
        config: whole config as YAML.
        is_mixed_precision: whether the forward pass was under autocast.
        random_states: random states before the forward pass; see :func:`get_random_states`.
        buffers: buffers that a forward pass changes, as they were before it.
    """

    iteration: int
    rank: int
    num_processes: int
    reason: str
    losses: dict[str, float]
    samples: dict[str, Tensor]
    inputs: list[dict[str, Any]]
    config: str
    is_mixed_precision: bool
    random_states: dict[str, Any]
    buffers: dict[str, Tensor]

    @staticmethod
    def path(folder: Path, iteration: int, rank: int) -> Path:
        """The file of an incident in a folder."""
        return folder / f"iteration_{iteration:07d}_rank{rank}.pth"

    @staticmethod
    def weights_path(folder: Path, iteration: int) -> Path:
        """The file of the weights of an iteration in a folder."""
        return folder / f"weights_{iteration:07d}.pth"

    @classmethod
    def save_weights(cls, folder: Path, iteration: int, model: nn.Module) -> None:
        """Write the weights, which ``MODEL.WEIGHTS`` takes as well."""
        with replacing(cls.weights_path(folder, iteration)) as draft:
            torch.save({"model": model.state_dict()}, draft)

    def save(self, folder: Path) -> None:
        """Write all data but the weights."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        with replacing(self.path(folder, self.iteration, self.rank)) as draft:
            torch.save(values, draft)

    @classmethod
    def load(cls, path: Path) -> "Incident":
        """Read a file of :meth:`save` onto the CPU, without running code from it.

        Raises:
            UserError: there is no such file, or it is of another kind.
        """
        try:
            values = read_checkpoint(str(path), BATCH_TYPES)
            require_form(values, _FORM, "content")
            return cls(**{field.name: values[field.name] for field in fields(cls)})
        except UserError as error:
            raise UserError(
                f"'{path}' is damaged, or no iteration_*.pth of a folder 'watch': {error}"
            ) from error
