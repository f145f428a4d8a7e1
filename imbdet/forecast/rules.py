"""The rules of a space, each with a learner for the same candidates of one detector."""

from collections.abc import Sequence
from dataclasses import dataclass

from detectron2.config import CfgNode
from torch import nn

from imbdet.analysis.frozen_detector import FrozenDetector
from imbdet.config import load_config
from imbdet.config_files.keys import changed_keys
from imbdet.engine.setup import check_config
from imbdet.errors import UserError
from imbdet.learning import Learner
from imbdet.learning.normalizers import Count
from imbdet.losses import ClassFrequencies
from imbdet.modeling import give_class_frequencies
from imbdet.modeling.assigners import build_assigner
from imbdet.modeling.build import build_criterion, build_sampler
from imbdet.modeling.matcher import build_matcher, matching_assigner
from imbdet.modeling.site_keys import Site
from imbdet.modeling.sites import sites_of
from imbdet.search.space import Arm
from imbdet.structures import Candidates

# Groups of keys by which the candidates of an update may differ.
_OF_CANDIDATES = ("MODEL.", "DATASETS.", "DATALOADER.", "INPUT.", "SOLVER.IMS_PER_BATCH")
# Keys of a site's head that say what learns, and those that say how it starts or is tested.
_OF_RULES = ("IOU_THRESHOLDS", "IOU_LABELS", "BATCH_SIZE_PER_IMAGE", "POSITIVE_FRACTION")
_OF_OTHER_TIMES = ("PRIOR_PROB", "SCORE_THRESH_TEST", "NMS_THRESH_TEST", "TOPK_CANDIDATES_TEST")


@dataclass(frozen=True, eq=False)
class Rule:
    """An assigner, samplers, weights and losses.

    Attributes:
        name: name of the method in its space.
        learner: learner of the detector's place.
    """

    name: str
    learner: Learner


def build_rules(
    arms: Sequence[Arm],
    opts: Sequence[str],
    detector: FrozenDetector,
    cfg: CfgNode,
    frequencies: ClassFrequencies,
) -> list[Rule]:
    """The rules of arms, the first of which is the detector's own.

    Running quantities of a rule start as in a new training.

    Args:
        arms: one arm of each method.
        opts: overrides of the config that count more than those of the arms.
        detector: the detector that has the candidates.
        cfg: config of the detector.
        frequencies: frequencies of the classes in the training data.

    Raises:
        UserError: a config would be refused by a training, or asks for other candidates or another
            last layer.
    """
    return [Rule(arm.method, _build_learner(arm, opts, detector, cfg, frequencies)) for arm in arms]


def _build_learner(
    arm: Arm,
    opts: Sequence[str],
    detector: FrozenDetector,
    first: CfgNode,
    frequencies: ClassFrequencies,
) -> Learner:
    like = detector.learner
    try:
        cfg = load_config(*arm.files, opts=[*arm.opts, *opts])
        check_config(cfg)
        _refuse_other_candidates(cfg, first, detector.site)
        cfg, site = next(one for one in sites_of(cfg) if one.site.place == like.place)
        criterion = build_criterion(cfg, site)
        if criterion.classifier is not like.criterion.classifier:
            raise UserError(
                f"its loss reads logits as {criterion.classifier.name}, but the last layer of the "
                f"weights was trained for {like.criterion.classifier.name}: forecast it from "
                "weights of its own kind."
            )
        give_class_frequencies(criterion, frequencies)
        assigner = build_assigner(cfg, site) or matching_assigner(build_matcher(cfg, site))
        learner = Learner(
            like.place,
            assigner=assigner,
            sampler=build_sampler(cfg, site),
            criterion=criterion.to(detector.model.device),
            normalizer=_one,
            num_classes=like.num_classes,
            log=like.log,
        )
    except UserError as error:
        raise UserError(f"The rule '{arm.method}' cannot be forecast: {error}") from error
    if isinstance(assigner, nn.Module):
        assigner.to(detector.model.device)
    return learner


def _one(chosen: Candidates, count: Count) -> float:
    """A divisor that is the same for all batches, as a running one soon is; any value would do."""
    return 1.0


def _refuse_other_candidates(cfg: CfgNode, first: CfgNode, site: Site) -> None:
    nodes = [node for node in site.nodes if node != site.parts]
    own = {site.box_reg_loss_type, *site.detectron2_options.values(), *site.cls_loss_switches}
    own |= {f"{site.head}.{name}" for name in (*_OF_RULES, *_OF_OTHER_TIMES)}
    own |= {"MODEL.ROI_BOX_HEAD.PRIOR_PROB", "MODEL.WEIGHTS", "MODEL.DEVICE"}
    for key in changed_keys(cfg, first):
        is_own = key in own or any(key.startswith(f"{node}.") for node in nodes)
        if key.startswith(_OF_CANDIDATES) and not is_own:
            raise UserError(
                f"it sets {key}, but rules are judged by the same candidates of one detector: they "
                f"may differ in {', '.join(nodes)} alone."
            )
