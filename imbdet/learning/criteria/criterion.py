"""The base of all criteria: a box loss, and the scope of the samples that belong together."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup

from imbdet.classifiers import SIGMOID, Classifier
from imbdet.learning.criteria.terms import BoxLoss, SampleLoss
from imbdet.ops import exchange
from imbdet.structures import Samples

SCOPES = ("batch", "image", "global")


def all_processes() -> ProcessGroup | None:
    """The processes of the training, if there are several."""
    if not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.group.WORLD if distributed.get_world_size() > 1 else None


def share_trouble(losses: Mapping[str, Tensor], predictions: Iterable[Tensor]) -> dict[str, Tensor]:
    """The losses, but NaN if a loss or a prediction is not finite in any of the processes."""
    values = sum(x.sum(dtype=torch.float64) for x in (*predictions, *losses.values()))
    total = exchange.total(torch.as_tensor(values), all_processes())
    return {name: loss + (0 * total).to(loss.dtype) for name, loss in losses.items()}


class Criterion(nn.Module):
    """Computes the losses of samples.

    Attributes:
        tells_losses: whether it has a method ``look`` for the classification loss of each sample.
        classifier: the meaning of the logits.

    Several processes average their losses: DistributedDataParallel the gradients, detectron2's log
    the values. In global scope the averages are those of one process with all the samples.
    """

    tells_losses = False
    classifier: Classifier = SIGMOID

    def __init__(self, *, box_loss: BoxLoss, scope: str = "batch"):
        """Set the box loss, and the samples that belong together.

        Args:
            box_loss: computes the box loss of each positive.
            scope: over which samples rankings, sums and counts run: "batch", those of this process;
                "image", the same with a ranking of each image; "global", those of all processes.
        """
        super().__init__()
        self.box_loss = box_loss
        self.scope = scope

    @property
    def group(self) -> ProcessGroup | None:
        """The processes whose samples belong together; None is this one alone.

        In evaluation mode it is always alone: the others need not be there.
        """
        return all_processes() if self.scope == "global" and self.training else None

    @property
    def num_processes(self) -> int:
        """Factor of what is a sum over this process's samples: the others have theirs."""
        return exchange.num_processes(self.group)

    def total(self, values: Tensor) -> Tensor:
        """Values of any shape, added up over the processes of the scope; detached."""
        return exchange.total(values, self.group)

    def count(self, number: int, device: torch.device) -> int:
        """A number of samples or images, added up over the processes of the scope.

        Args:
            number: of this process.
            device: on which the processes exchange.
        """
        if self.group is None:
            return number
        return int(self.total(torch.tensor(number, device=device)))

    def look(self, samples: Samples) -> Tensor:
        """(M,) classification losses of samples that do not learn.

        Raises:
            NotImplementedError: it does not tell losses; see ``tells_losses``.
        """
        raise NotImplementedError

    def due(self, losses: Tensor, term: SampleLoss | BoxLoss, normalizer: float | Tensor) -> Tensor:
        """Sum of the (weighted) losses of a term, divided by the normalizer if one is due."""
        loss = self.num_processes * losses.sum()
        return loss if term.is_normalized else loss / normalizer

    def scope_arguments(self, samples: Samples) -> dict[str, Any]:
        """What a ranking loss is told of its scope: ``image_idxs`` or ``group``, if anything."""
        if self.scope == "image":
            return {"image_idxs": samples.image_idxs}
        return {"group": self.group} if self.scope == "global" else {}
