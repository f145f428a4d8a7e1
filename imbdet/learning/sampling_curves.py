"""Scalars that show how the chosen samples differ from all that were available."""

from typing import Protocol

from torch import Tensor

from imbdet.records import SampleRecord
from imbdet.structures import Candidates

# Iterations between two logs, as detectron2 writes its metrics: each value waits for the device.
PERIOD = 20


class Log(Protocol):
    """Takes scalars, as detectron2's ``EventStorage`` does; ``iter`` is the iteration, from 0."""

    @property
    def iter(self) -> int: ...

    def put_scalar(self, name: str, value: float) -> None: ...


def log_choice(log: Log, prefix: str, candidates: Candidates, chosen: Candidates) -> None:
    """Log, every ``PERIOD`` iterations, how the chosen samples differ from the available ones.

    For positives and negatives, as "prefix/neg_chosen_iou" and so on: numbers per image and mean
    IoUs; where losses of the candidates are known, also their means; and where there are ignored
    regions, the number of candidates ignored for them per image, as "prefix/ignored_region_count".

    Args:
        log: log of the scalars.
        prefix: prefix of their names.
        candidates: available candidates.
        chosen: candidates that the sampler chose.
    """
    if not _is_due(log):
        return
    num_images = len(candidates.num_per_image)
    for kind, samples in (("available", candidates), ("chosen", chosen)):
        for sign, mask in _signs(samples):
            log.put_scalar(f"{prefix}/{sign}_{kind}_count", int(mask.sum()) / num_images)
            _put_mean(log, f"{prefix}/{sign}_{kind}_iou", samples.ious[mask])
    if candidates.is_in_region is not None:
        num_ignored = int(candidates.is_in_region.sum()) / num_images
        log.put_scalar(f"{prefix}/ignored_region_count", num_ignored)
    if candidates.cls_losses is not None:
        for sign, mask in _signs(candidates):
            _put_mean(log, f"{prefix}/{sign}_available_loss", candidates.cls_losses[mask])


def log_losses(log: Log, prefix: str, record: SampleRecord) -> None:
    """Log, every ``PERIOD`` iterations, the mean classification losses of samples that have one.

    Args:
        log: log of the scalars.
        prefix: prefix of their names.
        record: record of the chosen samples.
    """
    if _is_due(log) and record.cls_losses is not None:
        for sign, mask in _signs(record.samples.candidates):
            _put_mean(log, f"{prefix}/{sign}_chosen_loss", record.cls_losses[mask])


def _is_due(log: Log) -> bool:
    return (log.iter + 1) % PERIOD == 0


def _signs(candidates: Candidates) -> list[tuple[str, Tensor]]:
    return [("pos", candidates.is_positive), ("neg", candidates.is_negative)]


def _put_mean(log: Log, name: str, values: Tensor) -> None:
    if len(values) > 0:
        log.put_scalar(name, values.float().mean().item())
