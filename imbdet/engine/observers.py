"""Hooks that observe the outputs of the model in a step, or change its inputs."""

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from torch import nn

from imbdet.engine.incidents.watch import Watch
from imbdet.engine.ledger_feedback import LedgerFeedback, needs_feedback
from imbdet.engine.ledger_keeper import LedgerKeeper
from imbdet.engine.recorder import SampleRecorder


def build_observers(cfg: CfgNode, model: nn.Module) -> list[HookBase]:
    """The observers that a config asks for, in their order.

    Raises:
        UserError: a key of an observer has an invalid value.
    """
    observers: list[HookBase] = [Watch(cfg, model)]
    if cfg.RECORD.PERIOD != 0:
        observers.append(SampleRecorder(cfg, model))
    feeds_back = needs_feedback(cfg)
    if cfg.LEDGER.ENABLED:
        keeper = LedgerKeeper(cfg, model)
        observers.append(keeper)
        if feeds_back:
            observers.append(LedgerFeedback(cfg, keeper))
    return observers
