"""Repeats images and weights objects of a training by its ledger."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from imbdet.data.image_periods import length_of_period
from imbdet.data.image_samplers import BY_LEDGER
from imbdet.data.repeat_factors import by_hardness
from imbdet.engine.ledger_keeper import LedgerKeeper
from imbdet.engine.training_state import taking_up
from imbdet.errors import UserError
from imbdet.records.hardness import hardness_of_images, hardness_of_objects
from imbdet.records.ledger import Ledger
from imbdet.suspects.doubt import doubts_of_classes
from imbdet.untrusted.schema import require_form
from imbdet.wording import counted

logger = logging.getLogger(__name__)

_STATE = {"length": int, "first_iteration": int, "looks": [[Tensor]]}


class Look(NamedTuple):
    """The hardness and weights that follow from the ledger at one time.

    Attributes:
        hardness: (I,) float64, see :func:`imbdet.records.hardness.hardness_of_images`.
        weights: (A,) float32 in [0, 1], factors of the losses of each object.
    """

    hardness: Tensor
    weights: Tensor


class LedgerFeedback(HookBase):
    """Reads the ledger at the start of each period; see docs/ledger.md.

    A :class:`Look` is a function of the ledger at that iteration, and the same on all processes.
    Weights of objects are by the look of the period, repeats of images by that of the previous one,
    since they are read ahead. A checkpoint has both looks. The hook must come after the keeper and
    before the hooks that save a checkpoint.
    """

    def __init__(self, cfg: CfgNode, keeper: LedgerKeeper):
        """Store the keys.

        Args:
            cfg: config of the training.
            keeper: keeper of the ledger.
        """
        self._keys = cfg.LEDGER.FEEDBACK
        self._batch_size = cfg.SOLVER.IMS_PER_BATCH
        self._max_repeats = cfg.DATALOADER.MAX_REPEATS
        self._keeper = keeper
        self._looks: list[Look] = []  # of the previous period and of this one
        self._state: Mapping[str, Any] | None = None
        self._batch_hook: RemovableHandle | None = None

    def state_dict(self) -> dict[str, Any]:
        """The looks, on the main process, which sends them to the others."""
        if not (comm.is_main_process() and self._looks):
            return {}
        return {
            "length": self._length,
            "first_iteration": self._keeper.first_iteration,
            "looks": [list(look) for look in self._looks],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state`` when the training starts.

        Raises:
            UserError: the state is of another form.
        """
        if comm.is_main_process():
            require_form(state, _STATE, "LedgerFeedback")
            self._state = state

    def before_train(self):
        loader = self.trainer.data_loader
        num_images = len(loader.records)
        self._length = length_of_period(self._keys.PERIOD, num_images, self._batch_size)
        self._image_rows = self._keeper.rows.of_images(loader.records)
        number = self.trainer.start_iter // self._length
        state, self._state = self._state, None
        self._looks = _told_by_main(self._take_up(state))
        if not self._looks:
            self._looks = [self._look()] * 2
        for of_period, look in enumerate(self._looks, start=number):
            self._set_factors(of_period, look)

    def before_step(self):
        if self._keys.OBJECT_WEIGHTS and self.trainer.iter >= self._keys.WARMUP_ITERS:
            self._batch_hook = self.trainer.model.register_forward_pre_hook(self._weigh)

    def after_step(self):
        self._stop_weighing()
        done = self.trainer.iter + 1
        if done % self._length == 0:
            self._looks = [self._looks[-1], self._look()]
            self._set_factors(done // self._length + 1, self._looks[-1])

    def after_train(self):
        self._stop_weighing()

    def _stop_weighing(self) -> None:
        if self._batch_hook is not None:
            self._batch_hook.remove()
            self._batch_hook = None

    def _take_up(self, state: Mapping[str, Any] | None) -> list[Look]:
        """The looks of a checkpoint, if they are of this ledger and of periods of this length."""
        own = {"length": self._length, "first_iteration": self._keeper.first_iteration}
        if state is None or any(state[name] != value for name, value in own.items()):
            return []
        with taking_up("the ledger's feedback"):
            looks = [Look(*values) for values in state["looks"]]
            rows = self._keeper.rows
            sizes = len(rows.image_ids), len(rows.object_ids)
            if [tuple(map(len, look)) for look in looks] != [sizes, sizes]:
                raise ValueError("they are of other images and objects")
            return looks

    def _look(self) -> Look:
        """The look of the current ledger; a collective call."""
        ledger = self._keeper.up_to_now()
        return _told_by_main(None if ledger is None else self._judge(ledger))

    def _judge(self, ledger: Ledger) -> Look:
        objects, rows = ledger.objects, self._keeper.rows
        judged = objects["judged"]
        rival = objects["rival"] / judged.clamp(min=1)
        doubts = torch.from_numpy(doubts_of_classes(judged.numpy(), rival.numpy(), rows.classes))
        # A wrong label is never learnt, and should not repeat its image.
        hardness = hardness_of_objects(objects) * (1 - doubts)
        numbers = torch.from_numpy(rows.num_objects)
        weights = (1 - doubts).clamp(min=self._keys.MIN_WEIGHT).float()
        return Look(hardness_of_images(hardness, judged > 0, numbers), weights)

    def _set_factors(self, number: int, look: Look) -> None:
        periods = self.trainer.data_loader.periods
        if periods is not None:
            hardness = look.hardness[self._image_rows].numpy()
            periods.set_factors(number, by_hardness(hardness, self._max_repeats))

    def _weigh(self, model: nn.Module, args: tuple[list[dict[str, Any]]]) -> None:
        """Multiply the weights of a batch's objects by those of the look, before the model runs."""
        (inputs,) = args
        weights = self._looks[-1].weights[self._keeper.rows.of_objects(inputs)]
        of_images = [image["instances"] for image in inputs]
        for instances, own in zip(of_images, weights.split(list(map(len, of_images))), strict=True):
            known = instances.gt_weights if instances.has("gt_weights") else torch.ones_like(own)
            instances.gt_weights = known * own


def needs_feedback(cfg: CfgNode) -> bool:
    """Whether a key asks for the feedback. Warns where it would start too late.

    Raises:
        UserError: there is no ledger for it.
    """
    keys = cfg.LEDGER.FEEDBACK
    if keys.OBJECT_WEIGHTS and not cfg.LEDGER.ENABLED:
        raise UserError(
            "LEDGER.FEEDBACK.OBJECT_WEIGHTS is True, but there is no ledger to weigh objects by: "
            "set LEDGER.ENABLED to True."
        )
    if keys.OBJECT_WEIGHTS and keys.WARMUP_ITERS >= cfg.SOLVER.MAX_ITER:
        logger.warning(
            f"LEDGER.FEEDBACK.WARMUP_ITERS is {keys.WARMUP_ITERS:,}, and the training ends after "
            f"{counted(cfg.SOLVER.MAX_ITER, 'iteration')}: it will weigh no object. Lower it."
        )
    return bool(keys.OBJECT_WEIGHTS or cfg.DATALOADER.SAMPLER_TRAIN == BY_LEDGER)


def _told_by_main(value: Any) -> Any:
    """The value of the main process; a collective call."""
    return comm.all_gather(value)[0]
