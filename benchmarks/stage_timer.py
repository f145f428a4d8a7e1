"""Times of the stages of an iteration, in detectron2's own detectors and in ours."""

from collections import defaultdict
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from measuring import now
from torch import nn

# Stages and their functions, in the order of an iteration; each detector has some of them.
STAGES: list[tuple[str, str]] = [
    ("backbone", "backbone.forward"),
    ("head", "head.forward"),
    ("head", "proposal_generator.rpn_head.forward"),
    ("assign", "label_anchors"),  # RetinaNet: detectron2's, ours
    ("assign", "learner.assigner"),
    ("assign", "proposal_generator.learner.assigner"),
    ("assign", "roi_heads.learner.assigner"),
    ("assign and sample", "proposal_generator.label_and_sample_anchors"),
    ("sample", "proposal_generator.learner.sampler"),
    ("proposals", "proposal_generator.predict_proposals"),
    ("assign and sample", "roi_heads.label_and_sample_proposals"),
    ("preview", "roi_heads.look"),
    ("box branch", "roi_heads.box_pooler.forward"),
    ("box branch", "roi_heads.box_head.forward"),
    ("box branch", "roi_heads.box_predictor.forward"),
    ("sample", "learner.sampler"),
    ("loss", "losses"),  # detectron2's, then ours
    ("loss", "proposal_generator.losses"),
    ("loss", "roi_heads.box_predictor.losses"),
    ("loss", "proposal_generator.learner.pay"),
    ("loss", "roi_heads.learner.pay"),
    ("loss", "learner.pay"),
    ("weight", "criterion.weighting"),
    ("weight", "roi_heads.box_predictor.criterion.weighting"),
]


class StageTimer:
    """Measures stages; the seconds of a stage inside another do not count as the other's.

    Attributes:
        seconds: seconds of each stage since the last ``clear``.
    """

    def __init__(self, model: nn.Module, device: str):
        """Wrap the stages of a detector, for good."""
        self._device = device
        self._inside: list[float] = []  # seconds of the stages inside each running one
        self.clear()
        for stage, place in STAGES:
            *owners, name = place.split(".")
            try:
                owner = attrgetter(".".join(owners))(model) if owners else model
                function = getattr(owner, name)
            except AttributeError:
                continue
            if function is not None:
                setattr(owner, name, _Stage(function, stage, self))

    def clear(self) -> None:
        """Begin an iteration."""
        self.seconds: dict[str, float] = defaultdict(float)

    def measure(self, stage: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function as a stage."""
        self._inside.append(0.0)
        start = now(self._device)
        try:
            return function(*args, **kwargs)
        finally:
            seconds = now(self._device) - start
            self.seconds[stage] += seconds - self._inside.pop()
            if self._inside:
                self._inside[-1] += seconds


class _Stage:
    def __init__(self, function: Callable[..., Any], stage: str, timer: StageTimer):
        self._function, self._stage, self._timer = function, stage, timer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)  # what a sampler needs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._timer.measure(self._stage, self._function, *args, **kwargs)
