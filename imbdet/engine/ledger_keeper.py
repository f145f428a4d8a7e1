"""Keeps the ledger of objects and images of a training."""

import contextlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from imbdet.engine.training_state import taking_up
from imbdet.errors import UserError
from imbdet.files import replacing
from imbdet.learning import Learner, learners_of
from imbdet.modeling.site_keys import RPN, SITES
from imbdet.records import SampleRecord
from imbdet.records.ledger import Ledger
from imbdet.records.ledger_columns import TABLES
from imbdet.records.ledger_rows import LedgerRows
from imbdet.records.sights import Sights
from imbdet.untrusted.schema import Each, require_form

logger = logging.getLogger(__name__)

# Highest number of iterations between two additions of all processes' sights to the ledger.
ITERATIONS_PER_SUM = 100

_STATE = {
    "first_iteration": int,
    "data": Each(str),
    "rows": str,
    "ledger": {"objects": Each(Tensor), "images": Each(Tensor)},
}


class LedgerKeeper(HookBase):
    """Writes ``OUTPUT_DIR/ledger``; see docs/ledger.md.

    The main process has the ledger; the others send their sights to it, so that the ledger is the
    same as with one process. The hook is attached to the model in the steps only, since other hooks
    call the model as well. It must come before the hooks that save a checkpoint.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module):
        """Find the part of the detector whose samples count.

        Raises:
            UserError: there is no such part.
        """
        self._folder = Path(cfg.OUTPUT_DIR) / "ledger"
        self._checkpoint_period = cfg.SOLVER.CHECKPOINT_PERIOD
        self._learner = _find_learner(cfg, model)
        self._ledger: Ledger | None = None  # on the main process only, in a training
        self._state: Mapping[str, Any] | None = None
        self._seen: list[Sights] = []
        self._batch_hook: RemovableHandle | None = None

    @property
    def rows(self) -> LedgerRows:
        """The rows of objects and images, in a training."""
        return self._rows

    @property
    def first_iteration(self) -> int:
        """The first iteration of the ledger, in a training."""
        return self._first_iteration

    def up_to_now(self) -> Ledger | None:
        """The ledger with the sights of all processes, on the main one; a collective call."""
        self._sum_up()
        return self._ledger

    def state_dict(self) -> dict[str, Any]:
        """The whole ledger, on the main process; a collective call."""
        if self.up_to_now() is None:
            return {}
        return {
            "first_iteration": self._first_iteration,
            "data": self._fingerprints(),
            "rows": self._rows.fingerprint,
            "ledger": self._ledger.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state`` when the training starts.

        Raises:
            UserError: the state is of another form.
        """
        if comm.is_main_process():
            require_form(state, _STATE, "LedgerKeeper")
            self._state = state

    def before_train(self):
        self._rows = LedgerRows(self.trainer.data_loader.records)
        self._first_iteration = self.trainer.start_iter
        if comm.is_main_process():
            # It is made here, as a training that fails to start must leave the files as they are.
            self._ledger = self._take_up()

    def before_step(self):
        self._batch_hook = self.trainer.model.register_forward_pre_hook(self._see_batch)
        self._learner.record_sinks.append(self._look)

    def after_step(self):
        self._stop_looking()
        done = self.trainer.iter + 1
        is_saved = done % self._checkpoint_period == 0
        if is_saved or done % ITERATIONS_PER_SUM == 0 or done == self.trainer.max_iter:
            self._sum_up()
        if is_saved:
            self._write()

    def after_train(self):
        self._stop_looking()
        # After an error in one process the others do not come here, so that no sights are gathered.
        self._write()

    def _stop_looking(self) -> None:
        if self._batch_hook is not None:
            self._batch_hook.remove()
            self._batch_hook = None
            self._learner.record_sinks.remove(self._look)

    def _see_batch(self, model: nn.Module, args: tuple[list[dict[str, Any]]]) -> None:
        (self._inputs,) = args

    @torch.no_grad()
    def _look(self, record: SampleRecord) -> None:
        self._seen.append(
            Sights.of(
                record,
                iteration=self.trainer.iter,
                objects=self._rows.of_objects(self._inputs),
                images=self._rows.of_images(self._inputs),
                to_file=torch.stack([image["to_file"] for image in self._inputs]),
            )
        )

    def _sum_up(self) -> None:
        """Add the sights of all processes since the last call to the ledger; a collective call."""
        seen = comm.gather(self._seen)
        self._seen = []
        parts = [sights for of_process in seen for sights in of_process]
        if parts:
            self._ledger.add(Sights.together(parts))

    def _take_up(self) -> Ledger:
        """The ledger of the checkpoint, if it has one of the same data, or an empty one."""
        ledger = Ledger(len(self._rows.object_ids), len(self._rows.image_ids))
        state, self._state = self._state, None
        if state is None:
            self._drop_files()
        elif (state["data"], state["rows"]) != (self._fingerprints(), self._rows.fingerprint):
            logger.warning(
                "The images or annotations are not those that the ledger of the checkpoint is of: "
                f"it begins anew, in iteration {self._first_iteration}."
            )
            self._drop_files()
        else:
            with taking_up("the ledger"):
                ledger.load_state_dict(state["ledger"])
            self._first_iteration = state["first_iteration"]
        return ledger

    def _fingerprints(self) -> dict[str, str]:
        annotations = self.trainer.data_loader.summary.annotations
        return {name: of_set.fingerprint for name, of_set in annotations.items()}

    def _drop_files(self) -> None:
        """Remove the files of an earlier training."""
        for name in TABLES:
            self._path(name).unlink(missing_ok=True)

    def _write(self) -> None:
        if self._ledger is None:
            return
        metadata = {
            "version": "1",
            "site": self._learner.place.name,
            "first_iteration": str(self._first_iteration),
            "data": json.dumps(self._fingerprints()),
        }
        # The tables belong together: all drafts are complete before the first one replaces a file.
        with contextlib.ExitStack() as drafts:
            for name, to_table in TABLES.items():
                table = to_table(
                    self._ledger, self._rows, {"format": f"imbdet ledger of {name}", **metadata}
                )
                draft = drafts.enter_context(replacing(self._path(name)))
                pa.parquet.write_table(table, draft, compression="zstd")

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.parquet"


def _find_learner(cfg: CfgNode, model: nn.Module) -> Learner:
    """The learner of the dense head or the RoI heads; of a cascade, that of the first stage."""
    learners = [learner for learner in learners_of(model) if learner.place != RPN.place]
    if not learners:
        modules = [site.module for site in SITES if site != RPN]
        raise UserError(
            "LEDGER.ENABLED is True, but no part of the model "
            f"'{cfg.MODEL.META_ARCHITECTURE}' reports samples of objects: only "
            f"{', '.join(modules)} do."
        )
    return learners[0]
