"""How a part of a detector tells what its samples are and what they paid."""

from collections.abc import Callable
from dataclasses import replace

from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from imbdet.modeling.sites import Site
from imbdet.records import SampleRecord
from imbdet.structures import Candidates

# As often as detectron2 writes its metrics: each value waits for the device.
LOG_PERIOD = 20


class RecordsSamples(nn.Module):
    """Mixin: tells what its samples are and what they paid, if somebody listens.

    Attributes:
        site: the place of the detector that it is.
        record_sink: called with the record of each training batch; None, the default, is off.
        candidate_sink: called with all that the sampler could choose from; None is off.
    """

    site: Site
    record_sink: Callable[[SampleRecord], None] | None = None
    candidate_sink: Callable[[Candidates], None] | None = None

    def record_sampling(self, candidates: Candidates, chosen: Candidates) -> None:
        """Tell what was available, and log how what the sampler took differs from it."""
        if self.candidate_sink is not None:
            self.candidate_sink(candidates)
        _log_sampling(self.site.prefix, candidates, chosen)

    def record(self, samples: SampleRecord, locate: Callable[[], dict[str, Tensor]]) -> None:
        """Tell what samples paid, with the "boxes" that ``locate`` finds."""
        if self.record_sink is not None:
            self.record_sink(replace(samples, **locate()))
        _log_losses(self.site.prefix, samples)

    def recorded_needs(self, criterion: nn.Module) -> frozenset[str]:
        """What is asked for of all candidates beside what the sampler needs; see its ``needs``."""
        knows_losses = self.candidate_sink is not None and hasattr(criterion, "preview")
        return frozenset({"cls_losses"} if knows_losses else ())


def _log_sampling(part: str, candidates: Candidates, chosen: Candidates) -> None:
    """Log now and then how the chosen samples differ from all that were available.

    For positives and negatives, as "part/neg_chosen_iou" and so on: numbers per image and mean
    IoUs; where the sampler asked for them, also the mean classification losses of the available.

    Args:
        part: of the detector, the scalars' prefix.
        candidates: what was available.
        chosen: what the sampler took.
    """
    if not _is_due():
        return
    storage, num_images = get_event_storage(), len(candidates.num_per_image)
    for kind, samples in (("available", candidates), ("chosen", chosen)):
        for sign, mask in _signs(samples):
            storage.put_scalar(f"{part}/{sign}_{kind}_count", int(mask.sum()) / num_images)
            _put_mean(f"{part}/{sign}_{kind}_iou", samples.ious[mask])
    predictions = candidates.predictions
    if predictions is not None and predictions.cls_losses is not None:
        for sign, mask in _signs(candidates):
            _put_mean(f"{part}/{sign}_available_loss", predictions.cls_losses[mask])


def _log_losses(part: str, record: SampleRecord) -> None:
    """Log now and then the mean classification loss of the chosen samples, if they have one."""
    if _is_due() and record.cls_losses is not None:
        for sign, mask in _signs(record):
            _put_mean(f"{part}/{sign}_chosen_loss", record.cls_losses[mask])


def _is_due() -> bool:
    return (get_event_storage().iter + 1) % LOG_PERIOD == 0


def _signs(candidates: Candidates) -> list[tuple[str, Tensor]]:
    return [("pos", candidates.is_positive), ("neg", candidates.is_negative)]


def _put_mean(name: str, values: Tensor) -> None:
    if len(values) > 0:
        get_event_storage().put_scalar(name, values.float().mean().item())
