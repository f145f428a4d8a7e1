"""Data of all stages: priors are assigned and sampled, samples are weighted and have losses.

Shape shorthand: B images of a batch; R priors; M rows, candidates or samples of the whole batch
(image after image), P positives and N negatives among them; G objects of the batch; K classes.
Boxes are XYXY in pixels, in float32 at least whatever they are given in: areas overflow in half
precision.
"""

from imbdet.structures.candidates import Assignment, Candidates, Choice, needs_of
from imbdet.structures.outputs import BoxTransform, Outputs
from imbdet.structures.priors import Levels, Priors
from imbdet.structures.samples import Positives, Samples
from imbdet.structures.targets import Regions, Targets

__all__ = [
    "Assignment",
    "BoxTransform",
    "Candidates",
    "Choice",
    "Levels",
    "Outputs",
    "Positives",
    "Priors",
    "Regions",
    "Samples",
    "Targets",
    "needs_of",
]


def __dir__() -> list[str]:
    """Public names of the package, without its modules."""
    return __all__
