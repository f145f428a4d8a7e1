"""How detections are compared with objects: by COCO's protocol, or by LVIS's.

Both define which detections are compared, by which comparison, and which classes are rare, common
and frequent.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from imbdet.evaluation import federated
from imbdet.evaluation.comparison import Comparison, coco_limits, compare, compare_federated
from imbdet.evaluation.frequency_groups import group_by_images
from imbdet.evaluation.limits import MAX_DETECTIONS, describe_limits
from imbdet.evaluation.matches import Matches, match


@dataclass(frozen=True)
class CocoProtocol:
    """COCO's protocol: the best detections of each class in an image are compared.

    Attributes:
        ground_truth: content of an annotation file.
        max_detections: number of detections of a class in an image that count; COCO's is 100.
        training_images: number of training images with each class, by name, where it is known.
        frequency_bounds: see :func:`group_by_images`.
    """

    evaluator_type: ClassVar[str] = "coco"

    ground_truth: Mapping
    max_detections: int = MAX_DETECTIONS
    training_images: Mapping[str, int] = field(default_factory=dict)
    frequency_bounds: tuple[int, int] = (10, 100)

    @property
    def limits(self) -> Sequence[int]:
        """Limits of the recalls; see :class:`Comparison`."""
        return coco_limits(self.max_detections)

    def select(self, detections: Sequence[Mapping]) -> Sequence[Mapping]:
        """All detections, as each comparison applies the limit itself."""
        return detections

    def compare(self, selected: Sequence[Mapping], *, iou_type: str, library: str) -> Comparison:
        """See :func:`imbdet.evaluation.comparison.compare`."""
        return compare(
            self.ground_truth,
            selected,
            iou_type=iou_type,
            library=library,
            max_detections=self.max_detections,
        )

    def match(self, selected: Sequence[Mapping]) -> Matches:
        """See :func:`imbdet.evaluation.matches.match`."""
        return match(self.ground_truth, selected, self.max_detections)

    def frequencies(self) -> dict[str, str]:
        """The group of each class, "r", "c" or "f", where it is known."""
        names = [category["name"] for category in self.ground_truth["categories"]]
        images = {n: self.training_images[n] for n in names if n in self.training_images}
        return group_by_images(images, self.frequency_bounds)

    def describe_limits(self, per_image: int) -> str:
        """See :func:`imbdet.evaluation.limits.describe_limits`."""
        return describe_limits(
            self.ground_truth, per_class=self.max_detections, per_image=per_image
        )

    def describe_departure(self) -> str:
        """The difference from COCO's protocol, for a title; "" without one."""
        number = self.max_detections
        if number == MAX_DETECTIONS:
            return ""
        return f", {number} detections of a class in an image instead of COCO's {MAX_DETECTIONS}"

    def summary(self) -> dict[str, Any]:
        """Settings that distinguish the metrics from those of another protocol."""
        return {
            "evaluator_type": self.evaluator_type,
            "max_detections": self.max_detections,
            "frequency_bounds": self.frequency_bounds,
            "frequencies": self.frequencies(),
        }


@dataclass(frozen=True)
class LvisProtocol:
    """LVIS's protocol: the 300 best detections of an image, of the classes annotated in it, count.

    Attributes:
        ground_truth: content of an annotation file in LVIS's format, with objects.
    """

    evaluator_type: ClassVar[str] = "lvis"
    limits: ClassVar[Sequence[int]] = (federated.MAX_DETECTIONS,)

    ground_truth: Mapping

    def select(self, detections: Sequence[Mapping]) -> Sequence[Mapping]:
        """See :func:`federated.select_judged`."""
        return federated.select_judged(self.ground_truth, detections)

    def compare(self, selected: Sequence[Mapping], *, iou_type: str, library: str) -> Comparison:
        """See :func:`imbdet.evaluation.comparison.compare_federated`."""
        return compare_federated(
            self.ground_truth,
            selected,
            iou_type=iou_type,
            library=library,
            not_exhaustive=self._not_exhaustive,
        )

    def match(self, selected: Sequence[Mapping]) -> Matches:
        """See :func:`imbdet.evaluation.matches.match`."""
        limit = federated.MAX_DETECTIONS
        return match(self.ground_truth, selected, limit, self._not_exhaustive)

    def frequencies(self) -> dict[str, str]:
        """The group of each class, "r", "c" or "f", as the file says."""
        return {c["name"]: c["frequency"] for c in self.ground_truth["categories"]}

    def describe_limits(self, per_image: int) -> str:
        """See :func:`imbdet.evaluation.limits.describe_limits`."""
        return describe_limits(self.ground_truth, per_class=None, per_image=per_image)

    def describe_departure(self) -> str:
        """The difference from LVIS's protocol, which is always ""."""
        return ""

    def summary(self) -> dict[str, Any]:
        """Settings that distinguish the metrics from those of another protocol."""
        return {
            "evaluator_type": self.evaluator_type,
            "max_detections": federated.MAX_DETECTIONS,
            "frequencies": self.frequencies(),
        }

    @cached_property
    def _not_exhaustive(self) -> Set[federated.Pair]:
        return federated.find_not_exhaustive(self.ground_truth)
