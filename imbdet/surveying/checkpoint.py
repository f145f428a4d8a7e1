"""Statistics of training images by a checkpoint: a pass as in a training, without a step."""

from collections.abc import Sequence

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from torch import Tensor

from imbdet.advice.background_shares import BackgroundSums
from imbdet.advice.checkpoint_look import CheckpointLook
from imbdet.advice.ledger_doubts import LedgerDoubts, ledger_doubts
from imbdet.analysis.analysed_images import build_loader
from imbdet.analysis.frozen_detector import FrozenDetector
from imbdet.data.training_records import load_training_records
from imbdet.engine.progress import with_progress
from imbdet.ops.box_matrices import box_area
from imbdet.records import SampleRecord
from imbdet.records.ledger import Ledger
from imbdet.records.ledger_columns import images_table, objects_table
from imbdet.records.ledger_rows import LedgerRows
from imbdet.records.sights import Sights
from imbdet.structures import Candidates
from imbdet.weighting import times

# Seed of the choice of images, and of samplers that draw.
_SEED = 0


def look_at_checkpoint(
    cfg: CfgNode, weights: str, num_images: int
) -> tuple[CheckpointLook, LedgerDoubts]:
    """Forward some training images, which are drawn with a fixed seed.

    They are resized as in a test and not augmented otherwise, and each is a batch of its own.

    Args:
        cfg: a checked config of the detector, whose data sets are registered.
        weights: a checkpoint.
        num_images: largest number of images.

    Returns:
        Statistics of the samples; and the doubts by a ledger with one sight of each image.

    Raises:
        UserError: the weights do not fit or learned other classes, the detector has no place that
            samples, the training data cannot be used, or a loss is not finite.
    """
    cfg = _of_training(cfg, weights)
    records = load_training_records(cfg).records
    order = np.random.default_rng(_SEED).permutation(len(records))
    drawn = [records[i] for i in order[:num_images].tolist()]
    observer = _Observer(FrozenDetector(cfg), drawn)
    torch.manual_seed(_SEED)
    with EventStorage():
        for batch in with_progress(build_loader(cfg, drawn), "looking at training images"):
            observer.look(batch)
    return observer.result(weights, len(records)), observer.doubts()


def _of_training(cfg: CfgNode, weights: str) -> CfgNode:
    """The config of a frozen detector that reads the training data."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS = weights
    cfg.DATASETS.TEST = cfg.DATASETS.TRAIN
    cfg.LEDGER.ENABLED = True  # objects are distinguished
    cfg.freeze()
    return cfg


class _Observer:
    """Accumulates the statistics of a detector over images, one after the other."""

    def __init__(self, detector: FrozenDetector, records: Sequence[dict]):
        self._detector = detector
        self._num_images = len(records)
        self._rows = LedgerRows(records)
        self._ledger = Ledger(len(self._rows.object_ids), len(self._rows.image_ids))
        self._sums = BackgroundSums()
        self._sides: list[Tensor] = []
        self._num_positives: list[Tensor] = []
        learner = detector.learner
        # Samples of all images count alike, whatever the number in their image.
        learner.normalizer = lambda *_: 1.0
        learner.candidate_sink = self._see_candidates
        learner.record_sinks.append(self._see_record)

    def look(self, batch: list[dict]) -> None:
        """Add an image, with the losses and gradients of its samples."""
        self._batch = batch
        seen = self._detector.look(batch)
        self._num_appended = seen.num_appended
        learner = self._detector.learner
        chosen = learner.choose(seen.priors, seen.targets, seen.outputs)
        outputs = seen.outputs.take(chosen.rows)
        logits = outputs.logits.requires_grad_()
        losses = learner.pay(chosen, outputs, {"logits": logits})
        (gradient,) = torch.autograd.grad(losses["loss_cls"], logits)
        self._sums.add("gradient", gradient.abs().sum(dim=1, dtype=torch.float64), chosen)

    def result(self, weights: str, of_images: int) -> CheckpointLook:
        """The statistics of the images so far.

        Args:
            weights: the checkpoint file.
            of_images: number of all training images.
        """
        return CheckpointLook(
            weights=weights,
            place=self._detector.learner.place.module,
            num_images=self._num_images,
            of_images=of_images,
            background=self._sums.shares(),
            sides=torch.cat(self._sides).numpy(),
            num_positives=torch.cat(self._num_positives).numpy(),
        )

    def doubts(self) -> LedgerDoubts:
        """Doubts about annotations by one sight of each image."""
        return ledger_doubts(
            objects_table(self._ledger, self._rows, {}),
            images_table(self._ledger, self._rows, {}),
            "the checkpoint, which has one sight of these images",
        )

    def _see_candidates(self, candidates: Candidates) -> None:
        self._sums.add("candidates", torch.ones_like(candidates.ious), candidates)
        targets = candidates.targets
        own = candidates.gt_idxs[: len(candidates) - self._num_appended]
        numbers = own[own >= 0].bincount(minlength=len(targets))
        sides = box_area(targets.boxes).sqrt()
        # Objects of weight 0 shall have no positives.
        is_meant = slice(None) if targets.weights is None else targets.weights > 0
        self._sides.append(sides[is_meant].cpu())
        self._num_positives.append(numbers[is_meant].cpu())

    @torch.no_grad()
    def _see_record(self, record: SampleRecord) -> None:
        candidates = record.samples.candidates
        self._sums.add("chosen", torch.ones_like(candidates.ious), candidates)
        if record.cls_losses is not None:
            losses = times(record.cls_losses, candidates.weights, record.cls_weights)
            self._sums.add("loss", losses, candidates)
        sights = Sights.of(
            record,
            iteration=0,
            objects=self._rows.of_objects(self._batch),
            images=self._rows.of_images(self._batch),
            to_file=torch.stack([image["to_file"] for image in self._batch]),
        )
        self._ledger.add(sights)
