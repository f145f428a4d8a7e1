"""The exponential moving average of a detector's weights (EMA)."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from torch import Tensor, nn

from imbdet.engine.checkpoint_file import check_weights
from imbdet.engine.unwrapping import unwrapped
from imbdet.errors import UserError
from imbdet.untrusted.schema import Each, require_form
from imbdet.wording import counted

logger = logging.getLogger(__name__)

# Suffix of the names of folders and metrics of averaged weights.
SUFFIX = "_EMA"
# Name of the file with the averages at the end, without its ending.
NAME = "model_final_ema"
# The entry of a checkpoint, as d2go names it.
ENTRY = "ema_state"


class WeightAverage:
    """The mean of a model's weights over past iterations, in which the latest ones count most.

    All floating-point values of the state are averaged, the statistics of BatchNorm among them, as
    EfficientNet's training and YOLOX do it; whole numbers are copied. Before the first update the
    averages are the weights themselves.

    Args:
        model: detector, possibly inside ``DistributedDataParallel``.
        decay: weight of the averages in an update, in [0, 1).
        warm_up_factor: factor F >= 1. In the n-th update the decay is at most (1 + n) / (F + n), as
            in TensorFlow's ``ExponentialMovingAverage`` with F = 10; 1 is no warm-up.
    """

    def __init__(self, model: nn.Module, decay: float, warm_up_factor: float) -> None:
        self._model = unwrapped(model)
        self._decay = decay
        self._warm_up_factor = warm_up_factor
        self._num_updates = 0
        self._averages: dict[str, Tensor] = {}

    @property
    def has_begun(self) -> bool:
        """Whether there are averages."""
        return bool(self._averages)

    def begin(self) -> None:
        """Start with the current weights."""
        self._averages = {name: value.clone() for name, value in self._model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Update the averages with the current weights."""
        self._num_updates += 1
        n, factor = self._num_updates, self._warm_up_factor
        decay = min(self._decay, (1 + n) / (factor + n))
        state = self._model.state_dict()
        floating = [name for name, value in state.items() if value.is_floating_point()]
        # average + (1 - decay) (weight - average) leaves constant weights the same to the last bit.
        torch._foreach_lerp_(
            [self._averages[name] for name in floating],
            [state[name] for name in floating],
            1 - decay,
        )
        for name in state.keys() - floating:
            self._averages[name].copy_(state[name])

    def weights(self) -> Mapping[str, Tensor]:
        """The averages, by the names of the model's state."""
        return self._averages

    def running_quantities(self) -> dict[str, Tensor]:
        """The averages of the model's buffers, which each process has for itself."""
        names = {name for name, _ in self._model.named_buffers()}
        return {name: value for name, value in self._averages.items() if name in names}

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Use the averages as the weights of the model in a block."""
        own = {name: value.clone() for name, value in self._model.state_dict().items()}
        try:
            self._copy(self._averages)
            yield
        finally:
            self._copy(own)

    @torch.no_grad()
    def _copy(self, weights: Mapping[str, Tensor]) -> None:
        # It copies in place, as a compiled model and DistributedDataParallel refer to the tensors.
        for name, value in self._model.state_dict().items():
            value.copy_(weights[name])

    def state_dict(self) -> dict[str, Any]:
        return {"num_updates": self._num_updates, "model": self._averages}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore ``state``.

        Raises:
            UserError: the state is of another form, or of another model.
        """
        require_form(state, {"num_updates": int, "model": Each(Tensor)}, ENTRY)
        check_weights(state["model"])
        own = self._model.state_dict()
        for name, value in own.items():
            if name not in state["model"] or state["model"][name].shape != value.shape:
                raise UserError(f"its {ENTRY}.model is of another model: '{name}' does not fit.")
        self._averages = {
            name: state["model"][name].to(value, copy=True) for name, value in own.items()
        }
        self._num_updates = state["num_updates"]


class WeightAverager(HookBase):
    """Averages the weights after each iteration, and saves ``model_final_ema.pth`` at the end.

    The hook must come after those that change the model and before those that save it.
    """

    def __init__(self, average: WeightAverage) -> None:
        self.average = average

    def before_train(self):
        if self.average.has_begun:
            return
        self.average.begin()
        if self.trainer.start_iter > 0:
            logger.warning(
                "The checkpoint has no averages of weights: they begin after "
                f"{counted(self.trainer.start_iter, 'iteration')}."
            )

    def after_step(self):
        self.average.update()

    def after_train(self):
        if self.trainer.iter < self.trainer.max_iter:
            return  # the training failed
        self.trainer.checkpointer.save_weights(
            NAME, self.average.weights(), iteration=self.trainer.iter - 1
        )


def build_weight_average(cfg: CfgNode, model: nn.Module) -> WeightAverage | None:
    """The average by the keys ``MODEL_EMA``; None if it is not enabled.

    Args:
        cfg: the config.
        model: detector, possibly inside ``DistributedDataParallel``.
    """
    keys = cfg.MODEL_EMA
    return WeightAverage(model, keys.DECAY, keys.DECAY_WARM_UP_FACTOR) if keys.ENABLED else None


def is_of_averages(metric: str) -> bool:
    """Whether a metric, such as "bbox_EMA/AP", is of averaged weights."""
    return metric.partition("/")[0].endswith(SUFFIX)
