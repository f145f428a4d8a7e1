"""Records the samples of every N-th iteration: histograms of all samples, rows of some."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn
from torch.utils.hooks import RemovableHandle

from imbdet.config.values import refuse_declared_values
from imbdet.errors import UserError
from imbdet.learning import Learner, learners_of
from imbdet.modeling.site_keys import SITES, sampler_names
from imbdet.modeling.sites import sites_of
from imbdet.records import JointHistograms, SampleRecord, draw_negatives
from imbdet.records.folder import RecordFolder
from imbdet.records.histograms import picture, to_npz
from imbdet.records.record_columns import Batch, to_parquet, to_rows
from imbdet.structures import Candidates

logger = logging.getLogger(__name__)

# Highest number of recorded iterations in a part, which a killed run may lose.
BATCHES_PER_PART = 50

BYTES_PER_MB = 10**6


class SampleRecorder(HookBase):
    """Writes ``OUTPUT_DIR/records``; see docs/records.md.

    The hook is attached to the model only in the iterations to record. It has its own random
    numbers, so that a training is the same with and without it. It must come before the hooks that
    save a checkpoint, since a part file must end there.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module):
        """Find the parts of the detector that report their samples.

        Raises:
            UserError: a key is out of range, or there is no such part.
        """
        refuse_declared_values(cfg, "RECORD.")
        self._keys = cfg.RECORD
        # A part ends where a checkpoint may follow: the training may stop after an evaluation.
        self._checkpoint_periods = [cfg.SOLVER.CHECKPOINT_PERIOD]
        if cfg.TEST.BEST.PATIENCE:
            self._checkpoint_periods.append(cfg.TEST.EVAL_PERIOD)
        self._learners = learners_of(model)
        if not self._learners:
            raise UserError(
                f"RECORD.PERIOD is {self._keys.PERIOD}, but no part of the model "
                f"'{cfg.MODEL.META_ARCHITECTURE}' reports its samples: only "
                f"{', '.join(site.module for site in SITES)} do."
            )
        found = {learner.place for learner in self._learners}
        self._chosen_by = {
            site.place.name: sampler_names(own, site)
            for own, site in sites_of(cfg)
            if site.place in found
        }
        self._device = next(model.parameters()).device
        self._histograms = JointHistograms(sorted(self._chosen_by), self._device)
        self._folder = RecordFolder(
            Path(cfg.OUTPUT_DIR) / "records",
            max_bytes=self._keys.MAX_MB * BYTES_PER_MB,
            rank=comm.get_rank(),
            num_processes=comm.get_world_size(),
        )
        self._batch_hook: RemovableHandle | None = None
        self._sinks: list[tuple[Learner, Callable[[SampleRecord], None]]] = []
        self._start_part()

    def state_dict(self) -> dict[str, Any]:
        return self._folder.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._folder.load_state_dict(state)

    def before_train(self):
        if comm.is_main_process():
            self._folder.drop_from(self.trainer.start_iter)
        comm.synchronize()
        self._folder.measure()

    def before_step(self):
        period = self._keys.PERIOD * self._folder.thinning
        if not self._folder.is_over and (self.trainer.iter + 1) % period == 0:
            self._listen()

    def after_step(self):
        self._stop_listening()
        done = self.trainer.iter + 1
        periods = (self._keys.PERIOD * BATCHES_PER_PART, *self._checkpoint_periods)
        if done == self.trainer.max_iter or any(done % period == 0 for period in periods):
            self._end_part(is_together=True)

    def after_train(self):
        self._stop_listening()
        # After an error in one process the others do not come here, and must not be waited for.
        self._end_part(is_together=False)

    def _listen(self) -> None:
        seed = self.trainer.iter * comm.get_world_size() + comm.get_rank()
        self._generator = torch.Generator(self._device).manual_seed(seed)
        self._batch_hook = self.trainer.model.register_forward_pre_hook(self._see_batch)
        for learner in self._learners:
            sink = partial(self._record, learner.place.name)
            learner.record_sinks.append(sink)
            self._sinks.append((learner, sink))
            learner.candidate_sink = partial(self._count, learner.place.name)

    def _stop_listening(self) -> None:
        if self._batch_hook is not None:
            self._batch_hook.remove()
        for learner, sink in self._sinks:
            learner.record_sinks.remove(sink)
            learner.candidate_sink = None
        self._sinks.clear()

    def _see_batch(self, model: nn.Module, args: tuple[list[dict[str, Any]]]) -> None:
        (inputs,) = args
        self._batch = Batch.of(self.trainer.iter, inputs)
        self._num_batches += 1

    def _count(self, site: str, candidates: Candidates) -> None:
        self._histograms.add(site, "available", candidates, candidates.cls_losses)

    @torch.no_grad()
    def _record(self, site: str, record: SampleRecord) -> None:
        self._histograms.add(site, "chosen", record.samples.candidates, record.cls_losses)
        negatives = draw_negatives(
            record,
            self._keys.NUM_HARD_NEGATIVES,
            self._keys.NUM_RANDOM_NEGATIVES,
            self._generator,
        )
        chosen_by = self._chosen_by[site]
        self._rows.append(to_rows(record, negatives, self._batch, site=site, chosen_by=chosen_by))

    def _start_part(self) -> None:
        self._rows: list[pa.RecordBatch] = []
        self._num_batches = 0

    def _end_part(self, *, is_together: bool) -> None:
        """Write the records since the last part.

        Args:
            is_together: whether all processes call it. Then one writes the sum of the histograms;
                otherwise each writes its own.
        """
        rows, seen = self._rows, [(self._histograms.take(), self._num_batches)]
        self._start_part()  # even if writing fails, so that no record counts twice
        if is_together:
            seen = comm.gather(seen[0])
        contents = {}
        if rows:
            contents["samples.parquet"] = to_parquet(rows)
        num_batches = sum(number for _, number in seen)
        if num_batches > 0:
            named = self._histograms.named(sum(counts for counts, _ in seen))
            contents["histograms.npz"] = to_npz(named, num_batches)
            if is_together:
                self._show(named)
        self._write(contents)

    def _write(self, contents: Mapping[str, bytes]) -> None:
        if self._folder.is_over or not contents:
            return
        thinning = self._folder.thinning
        if not self._folder.write(self.trainer.iter, contents):
            logger.warning(
                f"The records of iteration {self.trainer.iter} would exceed RECORD.MAX_MB, "
                f"{self._keys.MAX_MB} MB: recording ends here."
            )
        elif self._folder.thinning > thinning:
            period = self._keys.PERIOD * self._folder.thinning
            logger.info(
                f"Records take {self._folder.used_bytes / self._folder.max_bytes:.0%} of "
                f"RECORD.MAX_MB: from here on one iteration in {period} is recorded."
            )

    def _show(self, named: Mapping[str, np.ndarray]) -> None:
        for name, counts in named.items():
            self.trainer.storage.put_image(f"records/{name}", picture(counts))
