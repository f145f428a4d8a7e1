"""Trains and evaluates detectors: trainer, hooks, logs, checkpoints."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.engine.evaluation import evaluate
from imbdet.engine.launch import launch
from imbdet.engine.setup import setup, setup_frozen
from imbdet.engine.trainer import Trainer
from imbdet.engine.training import check_training, train

__all__ = ["Trainer", "check_training", "evaluate", "launch", "setup", "setup_frozen", "train"]
