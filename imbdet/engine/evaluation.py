"""Evaluates a detector on ``DATASETS.TEST``."""

import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

from detectron2.config import CfgNode
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from torch import nn

from imbdet.data import build_test_loader, explained_worker_deaths, load_dataset
from imbdet.data.summary import DataSummary, require_classes
from imbdet.data.training_images import find_training_images
from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.engine.progress import with_progress
from imbdet.errors import UserError
from imbdet.evaluation import COCOEvaluator, build_coco_evaluator
from imbdet.modeling import build_model
from imbdet.modeling.augmented_tests import augment_tests

logger = logging.getLogger(__name__)

OnStart = Callable[[DataSummary | None], None]


def evaluate(cfg: CfgNode, *, resume: bool, on_start: OnStart) -> OrderedDict:
    """Evaluate on ``DATASETS.TEST`` and return the metrics of each data set.

    Args:
        cfg: the config.
        resume: whether to take the weights of the last checkpoint in ``OUTPUT_DIR``, not
            ``MODEL.WEIGHTS``.
        on_start: function that is called with None when the weights are loaded.

    Raises:
        UserError: there is nothing to evaluate on, or the weights do not fit.
    """
    if not cfg.DATASETS.TEST:
        raise UserError("DATASETS.TEST is empty: name at least one data set to evaluate on.")
    model = build_model(cfg)
    checkpointer = SafeCheckpointer(model, cfg.OUTPUT_DIR, strict=True)
    if not (cfg.MODEL.WEIGHTS or (resume and checkpointer.has_checkpoint())):
        logger.warning(
            "MODEL.WEIGHTS is empty: this evaluates an untrained model. Name a checkpoint by "
            "MODEL.WEIGHTS, such as output/model_final.pth."
        )
    is_resumed = resume and checkpointer.has_checkpoint()
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    if checkpointer.learned is not None:
        place = cfg.OUTPUT_DIR if is_resumed else cfg.MODEL.WEIGHTS
        weights = f"The {'run' if is_resumed else 'weights'} in '{place}'"
        for name in cfg.DATASETS.TEST:
            load_dataset(cfg, name)
            require_classes(checkpointer.learned.classes, name, weights)
    on_start(None)
    with explained_worker_deaths():
        is_main = comm.is_main_process()  # only it computes metrics
        images = find_training_images(cfg, checkpointer.learned) if is_main else {}
        results = evaluate_model(cfg, model, images)
        if cfg.TEST.AUG.ENABLED:
            results.update(evaluate_augmented(cfg, model, images))
    return results


def evaluate_model(
    cfg: CfgNode, model: nn.Module, training_images: Mapping[str, int], suffix: str = ""
) -> OrderedDict:
    """Evaluate into the folder "inference". A collective call.

    Args:
        cfg: the config.
        model: detector to evaluate.
        training_images: see :class:`imbdet.evaluation.COCOEvaluator`.
        suffix: suffix of the names of the folder and the results.

    Returns:
        On the main process the metrics by IoU type, such as "bbox"; those of several data sets by
        the data set, as in detectron2.
    """
    results = {}
    for name, evaluator in _build_evaluators(cfg, training_images, suffix):
        loader = with_progress(build_test_loader(cfg, name), f"evaluating {name}")
        results[name] = inference_on_dataset(model, loader, evaluator)
        if comm.is_main_process():
            print_csv_format(results[name])
    return _name(results, suffix)


def undefined_metrics(
    cfg: CfgNode, training_images: Mapping[str, int], suffix: str = ""
) -> OrderedDict:
    """The result of :func:`evaluate_model` with NaN for each metric, without an evaluation."""
    evaluators = _build_evaluators(cfg, training_images, suffix)
    return _name({name: evaluator.undefined() for name, evaluator in evaluators}, suffix)


def evaluate_augmented(
    cfg: CfgNode, model: nn.Module, training_images: Mapping[str, int]
) -> OrderedDict:
    """Evaluate with TEST.AUG, into the folder "inference_TTA"; see :func:`evaluate_model`."""
    logger.info("Evaluating once more, with TEST.AUG.")
    return evaluate_model(cfg, augment_tests(cfg, model), training_images, "_TTA")


def _build_evaluators(
    cfg: CfgNode, training_images: Mapping[str, int], suffix: str
) -> Iterator[tuple[str, COCOEvaluator]]:
    folder = os.path.join(cfg.OUTPUT_DIR, f"inference{suffix}")
    for name in cfg.DATASETS.TEST:
        yield name, build_coco_evaluator(cfg, name, folder, training_images)


def _name(results: Mapping[str, dict], suffix: str) -> OrderedDict:
    """The results of the data sets by detectron2's names, each with the suffix."""
    if len(results) == 1:
        (results,) = results.values()
    return OrderedDict((f"{name}{suffix}", values) for name, values in results.items())
