"""The learner of a place of a detector: it assigns, samples, weights, computes losses, records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from imbdet.assigners import Assigner, assign
from imbdet.errors import UserError
from imbdet.learning.criteria import Criterion, share_non_finite
from imbdet.learning.finite import require_finite
from imbdet.learning.normalizers import Normalizer
from imbdet.learning.sampling_curves import Log, log_choice, log_losses
from imbdet.records import SampleRecord
from imbdet.samplers import Sampler
from imbdet.structures import Candidates, Outputs, Priors, Samples, Targets, needs_of


@dataclass(frozen=True)
class Place:
    """A place of a detector whose samples have losses of their own.

    Attributes:
        name: name of the place in records.
        prefix: prefix of the scalars that it logs.
        module: name of its class in error messages.
    """

    name: str
    prefix: str
    module: str


def learners_of(model: nn.Module) -> list["Learner"]:
    """The learners of a detector, in the order of the modules that own one, or several."""
    owned = []
    for module in model.modules():
        owned += [getattr(module, "learner", None), *getattr(module, "learners", ())]
    return [learner for learner in owned if isinstance(learner, Learner)]


class Learner:
    """Chooses which priors of a place learn, and computes their losses.

    It is no module. Its criterion is one, which the detector registers, so that names in the
    detector's states do not depend on the learner.

    Attributes:
        place: place in the detector.
        assigner: assigner of the priors.
        sampler: sampler that chooses which priors learn.
        criterion: criterion that computes their losses.
        normalizer: normalizer that computes the divisor of their losses.
        num_classes: K.
        log: function that returns the log of a training's scalars, such as detectron2's
            ``get_event_storage``.
        stops_together: whether losses that are not finite in one process are made NaN in all of
            them, so that all stop at once and none waits for another.
        candidate_sink: function that is called with all candidates of each batch; None is off.
        record_sinks: functions that are called with the record of each training batch.
    """

    candidate_sink: Callable[[Candidates], None] | None = None

    def __init__(
        self,
        place: Place,
        *,
        assigner: Assigner,
        sampler: Sampler,
        criterion: Criterion,
        normalizer: Normalizer,
        num_classes: int,
        log: Callable[[], Log],
        stops_together: bool = False,
    ):
        """Combine the stages of a place; see the attributes.

        Raises:
            UserError: the sampler needs losses that the criterion does not return.
        """
        if "losses" in needs_of(sampler) and not criterion.has_sample_losses:
            raise UserError(
                "The sampler looks at each sample's classification loss, which "
                f"{type(criterion).__name__} does not tell: use a PointwiseCriterion or another "
                "sampler."
            )
        self.place = place
        self.assigner = assigner
        self.sampler = sampler
        self.criterion = criterion
        self.normalizer = normalizer
        self.num_classes = num_classes
        self.log = log
        self.stops_together = stops_together
        self.record_sinks: list[Callable[[SampleRecord], None]] = []

    @torch.no_grad()
    def choose(
        self, priors: Priors, targets: Targets, outputs: Outputs | Callable[[], Outputs]
    ) -> Candidates:
        """Assign and sample.

        Args:
            priors: priors of the batch.
            targets: objects of the batch.
            outputs: outputs of the head for all priors; or a function that returns them, which is
                called if a part needs them.

        Returns:
            The chosen candidates.
        """
        # The sink gets losses where they need no further pass through the head.
        is_told = self.candidate_sink is not None and isinstance(outputs, Outputs)
        needs = frozenset({"losses"} if is_told and self.criterion.has_sample_losses else ())
        candidates = self.candidates(priors, targets, outputs, needs)
        chosen = candidates.take(self.sampler(candidates))
        if self.candidate_sink is not None:
            self.candidate_sink(candidates)
        log_choice(self.log(), self.place.prefix, candidates, chosen)
        return chosen

    @torch.no_grad()
    def candidates(
        self,
        priors: Priors,
        targets: Targets,
        outputs: Outputs | Callable[[], Outputs],
        needs: frozenset[str] = frozenset(),
    ) -> Candidates:
        """Assign, and add outputs and losses if a part needs them.

        Args:
            priors: see :meth:`choose`.
            targets: see :meth:`choose`.
            outputs: see :meth:`choose`.
            needs: needs beside those of the sampler; see :func:`imbdet.structures.needs_of`.
        """
        needs |= needs_of(self.sampler)
        seen = None
        if needs | needs_of(self.assigner):
            seen = (outputs if isinstance(outputs, Outputs) else outputs()).detach()
        candidates = assign(self.assigner, priors, targets, seen, self.num_classes)
        if not needs or seen is None:
            return candidates
        losses = None
        if "losses" in needs:
            losses = self.criterion.sample_losses(Samples(candidates, seen))
        return replace(candidates, outputs=seen, cls_losses=losses)

    def pay(
        self, chosen: Candidates, outputs: Outputs, predictions: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Weight the samples, compute their losses and record them.

        Args:
            chosen: candidates that :meth:`choose` returned.
            outputs: outputs of the same rows, with gradient.
            predictions: all predictions of the batch by their descriptions, such as "logits of p3",
                for the message if one is not finite.

        Returns:
            Scalar losses by name, such as "loss_cls" and "loss_box_reg"; see the criterion.

        Raises:
            NotFiniteError: a loss is not finite.
        """
        samples = Samples(chosen, outputs)
        device = chosen.gt_labels.device
        normalizer = self.normalizer(chosen, lambda number: self.criterion.count(number, device))
        losses: dict[str, Tensor]
        losses, record = self.criterion(samples, normalizer)
        if self.stops_together:
            losses = share_non_finite(losses, predictions.values())
        require_finite(losses, predictions, self.place.module, record, self.log().iter)
        for sink in self.record_sinks:
            sink(record)
        log_losses(self.log(), self.place.prefix, record)
        return losses
