"""Detects losses and gradients that are not finite, saves the iteration, and stops or skips it."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.layers import NaiveSyncBatchNorm
from detectron2.utils import comm
from torch import Tensor, nn

from imbdet.config.values import refuse_declared_values
from imbdet.engine.incidents.incident import Incident
from imbdet.engine.process_state import changing_buffers, get_random_states
from imbdet.engine.unwrapping import unwrapped
from imbdet.errors import UserError
from imbdet.learning import learners_of
from imbdet.untrusted.schema import require_form
from imbdet.wording import counted

logger = logging.getLogger(__name__)


class Watch(HookBase):
    """Stops the training before a step that would spoil the weights, or skips a limited number.

    All processes must decide alike, and none may leave the others waiting. So a process that finds
    losses which are not finite continues with the backward pass and gradients of NaN, which the
    averaging brings to all processes. The norm of all gradients then tells each of them, without
    any further communication. Where norms are synchronized, processes wait for each other in each
    of them, forward and backward: there the learners exchange this at once, and all continue in
    this way. With mixed precision the scaler skips infinite gradients, which are no incident.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module) -> None:
        """Prepare to watch a model.

        Args:
            cfg: config of the training, with ``SOLVER.MAX_SKIPPED``.
            model: model as it is trained, possibly inside ``DistributedDataParallel``.

        Raises:
            UserError: ``SOLVER.MAX_SKIPPED`` is negative.
        """
        refuse_declared_values(cfg, "SOLVER.MAX_SKIPPED")
        self._max_skipped = cfg.SOLVER.MAX_SKIPPED
        self._config = cfg.dump()
        self._folder = Path(cfg.OUTPUT_DIR) / "watch"
        self._model = unwrapped(model)
        self._num_skipped = 0
        if comm.get_world_size() > 1 and _has_shared_norms(model):
            for learner in learners_of(self._model):
                learner.stops_together = True

    def state_dict(self) -> dict[str, int]:
        return {"num_skipped": self._num_skipped}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        require_form(state, {"num_skipped": int}, "Watch")
        self._num_skipped = state["num_skipped"]

    def before_train(self):
        # All versions of detectron2 call it between the backward pass and the optimizer's step.
        step = self.trainer._trainer
        self._write_metrics = step._write_metrics
        step._write_metrics = self._check

    def before_step(self):
        self._model.forward = self._forward

    def after_step(self):
        self._model.__dict__.pop("forward", None)  # other hooks call the model after a step

    after_train = after_step

    def _forward(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """The model's losses, whose gradients are NaN if they are not finite."""
        self._inputs = inputs
        self._random = get_random_states()
        self._buffers = {name: buffer.clone() for name, buffer in changing_buffers(self._model)}
        self._error: FloatingPointError | None = None
        try:
            losses = type(self._model).forward(self._model, inputs)
        except FloatingPointError as error:
            self._error = error
            parameters = [p for p in self._model.parameters() if p.requires_grad]
            losses = {"loss": torch.nan * sum(p.sum() for p in parameters)}
        self._losses = {name: loss.detach() for name, loss in losses.items()}
        # The factor is 1 or NaN, as hand-written gradients of a loss of NaN may be finite.
        return {name: loss * (1 + 0 * loss.detach()) for name, loss in losses.items()}

    def _check(self, losses: dict[str, Tensor], *args: Any, **kwargs: Any) -> None:
        gradients = [p.grad for p in self._model.parameters() if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        if not norm.isfinite():
            # All processes are here.
            complaints = comm.all_gather(self._complain())
            scaler_skips = hasattr(self.trainer._trainer, "grad_scaler")
            if any(complaints) or not scaler_skips:
                self._meet(complaints, scaler_skips)
                return
        self._write_metrics(losses, *args, **kwargs)

    def _complain(self) -> str:
        """A sentence on losses of this process that are not finite, or ""."""
        if self._error is not None:
            return str(self._error).replace("\n", " ")
        values = {name: loss.item() for name, loss in self._losses.items()}
        bad = [f"{name} = {v}" for name, v in values.items() if not torch.tensor(v).isfinite()]
        if not bad:
            return ""
        return f"Not finite in iteration {self.trainer.iter}: {', '.join(bad)}."

    def _meet(self, complaints: list[str], scaler_skips: bool) -> None:
        """Save the incident, then stop or skip the step, as all processes do."""
        if not any(complaints):
            complaints = [self._describe_gradients()] * len(complaints)
        culprit = self._find_culprit(complaints)
        reason = complaints[culprit]
        if len(complaints) > 1:
            reason = f"Rank {culprit}: {reason}"
        try:
            self._save(complaints[comm.get_rank()])
        except UserError as error:
            raise UserError(f"{reason} It cannot be kept: {error}") from error
        file = Incident.path(self._folder, self.trainer.iter, culprit)
        if self._num_skipped >= self._max_skipped:
            others = counted(self._num_skipped, "other")
            after = f" after skipping {others}" if self._num_skipped else ""
            raise UserError(f"{reason} Stopped{after}: `imbdet replay {file}` repeats it.")
        self._num_skipped += 1
        logger.warning(
            f"{reason} Skipped, {self._num_skipped} of at most {self._max_skipped}: "
            f"`imbdet replay {file}` repeats it."
        )
        if not scaler_skips:
            self.trainer.optimizer.zero_grad()  # nothing to step by
        with torch.no_grad():
            for name, buffer in changing_buffers(self._model):
                buffer.copy_(self._buffers[name])

    def _find_culprit(self, complaints: Sequence[str]) -> int:
        """The first process with samples that are not finite or, without any, with a complaint."""
        blames = comm.all_gather(any(map(len, self._samples().values())))
        ranks = [rank for rank, complaint in enumerate(complaints) if complaint]
        return next((rank for rank in ranks if blames[rank]), ranks[0])

    def _samples(self) -> Mapping[str, Tensor]:
        """The samples that are not finite, as far as they are known."""
        return getattr(self._error, "samples", {})

    def _describe_gradients(self) -> str:
        named = list(self._model.named_parameters())
        bad = [n for n, p in named if p.grad is not None and not p.grad.isfinite().all()]
        which = f"first '{bad[0]}'" if bad else "only their norm"
        return (
            f"The gradients are not finite in iteration {self.trainer.iter}, though the losses "
            f"are: of {len(bad)} of {len(named)} parameters, {which}. Lower SOLVER.BASE_LR, or "
            "clip gradients (SOLVER.CLIP_GRADIENTS.ENABLED True)."
        )

    def _save(self, complaint: str) -> None:
        """Save the data of this process, if its losses are the cause, and the shared weights."""
        if comm.is_main_process():
            Incident.save_weights(self._folder, self.trainer.iter, self._model)
        if not complaint:
            return
        losses = {name: loss.item() for name, loss in self._losses.items()}
        Incident(
            iteration=self.trainer.iter,
            rank=comm.get_rank(),
            num_processes=comm.get_world_size(),
            reason=complaint,
            losses=getattr(self._error, "losses", losses),
            samples=self._samples(),
            inputs=self._inputs,
            config=self._config,
            is_mixed_precision=hasattr(self.trainer._trainer, "grad_scaler"),
            random_states=self._random,
            buffers=self._buffers,
        ).save(self._folder)


def _has_shared_norms(model: nn.Module) -> bool:
    """Whether modules normalize by the statistics of all processes."""
    kinds = (nn.SyncBatchNorm, NaiveSyncBatchNorm)
    return any(isinstance(module, kinds) for module in model.modules())
