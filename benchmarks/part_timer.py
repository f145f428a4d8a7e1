"""Times of the parts of a detector that choose, weigh and compute losses in its iterations."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from measuring import now
from torch import Tensor, nn

from imbdet.structures import Positives, Samples

# What :class:`PartTimer` measures, in the order of an iteration.
PARTS = ("RPN sampling", "preview", "sampling", "cls loss", "box loss", "weighting", "CARL")


class PartTimer:
    """Measures parts of a detector inside its iterations, each with its own backward pass.

    The backward pass of a part, down to the detector's predictions, is run once more right after
    its forward pass. ``overhead`` counts the seconds of that. A part inside another counts as part
    of that one: the losses of a preview are the preview's.

    Attributes:
        seconds: seconds of each part since the last ``clear``.
        overhead: seconds that an iteration would not take without being measured.
        is_inside: whether a part is running.
    """

    def __init__(self, model: nn.Module, device: str):
        """Wrap the parts of a detector, for good."""
        self.device = device
        self.is_inside = False
        self.clear()
        if hasattr(model, "roi_heads"):
            learner = model.roi_heads.learner
            self._wrap("RPN sampling", model.proposal_generator.learner, "sampler")
            self._wrap("preview", model.roi_heads, "look")
        else:
            learner = model.learner
            self._wrap("preview", learner.criterion, "sample_losses")
        criterion = learner.criterion
        self._wrap("sampling", learner, "sampler")
        self._wrap("weighting", criterion, "weighting")
        self._wrap("CARL", criterion, "carl")
        self._wrap("cls loss", criterion.cls_loss, "forward")
        self._wrap("box loss", criterion.box_loss, "forward")

    def clear(self) -> None:
        """Begin an iteration."""
        self.seconds: dict[str, float] = defaultdict(float)
        self.overhead = 0.0

    def _wrap(self, part: str, owner: object, attribute: str) -> None:
        if (function := getattr(owner, attribute)) is not None:
            setattr(owner, attribute, _Timed(function, part, self))


class _Timed:
    """A function that reports its time to a :class:`PartTimer`."""

    def __init__(self, function: Callable[..., Any], part: str, timer: PartTimer):
        self._function, self._part, self._timer = function, part, timer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)  # what a sampler needs

    def __call__(self, *args: Any) -> Any:
        timer = self._timer
        if timer.is_inside:
            return self._function(*args)
        timer.is_inside = True
        start = now(timer.device)
        result = self._function(*args)
        middle = now(timer.device)
        if isinstance(result, Tensor) and result.requires_grad:
            _backward(result, args[0])
        end = now(timer.device)
        timer.seconds[self._part] += end - start
        timer.overhead += end - middle
        timer.is_inside = False
        return result


def _backward(losses: Tensor, payer: Samples | Positives) -> None:
    """The backward pass of a part's losses down to the predictions it was given."""
    predictions = payer.pred_logits if isinstance(payer, Samples) else payer.pred_deltas
    torch.autograd.grad(losses, predictions, torch.ones_like(losses), retain_graph=True)
