"""Any two parts of a dense detector that have a meaning together train: a pairwise covering set."""

import pytest
import torch

from imbdet.errors import UserError
from imbdet.learning.qualities import QUALITIES
from imbdet.methods import ASSIGNERS, BOX_LOSSES, CLS_LOSSES
from imbdet.modeling.dense_detector import NORMALIZERS
from imbdet.modeling.dense_parts import BOXES, PRIORS
from tests.modeling.conftest import make_batch, small_config, train_step
from tests.modeling.pairwise import all_pairs, completions, covering_set, pairs_of
from tests.narrow import NARROW

KEYS = {
    "assigner": "MODEL.ASSIGNER.NAME",
    "cls_loss": "MODEL.CLS_LOSS.NAME",
    "box_loss": "MODEL.BOX_LOSS.NAME",
    "priors": "MODEL.DENSE.PRIORS",
    "boxes": "MODEL.DENSE.BOXES",
    "quality": "MODEL.DENSE.QUALITY",
    "box_quality": "MODEL.DENSE.BOX_QUALITY",
    "normalizer": "MODEL.DENSE.NORMALIZER",
    "scales": "MODEL.DENSE.LEVEL_SCALES",
}
OF_DENSE_HEADS = [name for name, method in ASSIGNERS if "dense heads" in method.places]
FACTORS = {
    "assigner": ["", *OF_DENSE_HEADS],
    # One loss for long tails; test_long_tails.py has all.
    "cls_loss": [
        name
        for name, loss in CLS_LOSSES
        if loss.activation == "sigmoid" and (not loss.balances_classes or name == "efl")
    ],
    "box_loss": [name for name, _ in BOX_LOSSES],
    "priors": list(PRIORS),
    "boxes": list(BOXES),
    "quality": ["", "centerness", "iou"],
    "box_quality": ["", *QUALITIES],
    "normalizer": list(NORMALIZERS),
    "scales": [False, True],
}
INSIDE = {"atss", "ddod", "fcos", "task_aligned"}
GRADING = {"task_aligned", "topk_hungarian"}


def clashes(combination):
    """Number of documented refusals that a combination meets, written apart from the code."""
    c = combination
    asks_assigner = c["box_quality"] == "assigned" or c["normalizer"] == "quality"
    keeps_positives = c["cls_loss"] in ("alrp", "rank_sort")
    return sum(
        [
            c["cls_loss"] == "alrp" and c["box_loss"] != "giou",
            keeps_positives and c["quality"] != "",
            keeps_positives and c["box_quality"] != "",
            keeps_positives and c["boxes"] == "distributions",
            "centerness" in (c["quality"], c["box_quality"]) and c["assigner"] not in INSIDE,
            asks_assigner and c["assigner"] not in GRADING,
            c["box_quality"] != "" and c["box_loss"] == "ghm_r",
        ]
    )


def config_of(combination):
    keys = NARROW | {key: combination[factor] for factor, key in KEYS.items()}
    return small_config(
        "retinanet",
        *("MODEL.META_ARCHITECTURE", "ImbDense"),
        *("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", "[[1.0]]"),
        *("MODEL.ANCHOR_GENERATOR.SIZES", "[[16], [32], [64], [128], [256]]"),
        *(x for pair in keys.items() for x in pair),
    )


COMBINATIONS = covering_set(FACTORS, clashes)


def label(combination):
    return "-".join(str(value) for value in combination.values())


@pytest.mark.parametrize("combination", COMBINATIONS, ids=label)
def test_every_pair_of_parts_trains(combination, build):
    model = build(config_of(combination))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1e-7
    )  # sums over all priors, divided by few or no positives
    for seed, num_boxes in enumerate([[3, 4], [0, 0], [12, 0], [1, 2], [0, 5]]):
        batch = make_batch(num_boxes, seed=seed, size=(64, 64))
        losses, gradients, _ = train_step(model, batch)
        optimizer.step()
        assert all(loss.isfinite() for loss in losses.values())
        assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())


def test_a_pair_that_is_left_out_has_no_meaning():
    left_out = all_pairs(FACTORS) - set().union(*map(pairs_of, COMBINATIONS))
    for pair in left_out:
        assert all(map(clashes, completions(pair, FACTORS))), pair


def test_the_set_covers_every_part_and_its_refusals_are_real(build):
    covered = set().union(*map(pairs_of, COMBINATIONS))
    for name, options in FACTORS.items():
        for option in options:
            assert any((name, option) in pair for pair in covered), (name, option)
    plain = {name: options[0] for name, options in FACTORS.items()}
    plain |= {"cls_loss": "focal", "box_loss": "giou"}
    refused = [
        {"cls_loss": "alrp", "box_loss": "l1"},
        {"cls_loss": "rank_sort", "quality": "iou"},
        {"cls_loss": "alrp", "boxes": "distributions"},
        {"quality": "centerness", "assigner": "max_iou"},
        {"box_quality": "centerness"},
        {"box_quality": "assigned", "assigner": "paa"},
        {"normalizer": "quality", "assigner": "simota"},
        {"box_quality": "iou", "box_loss": "ghm_r"},
    ]
    assert not clashes(plain)
    for change in refused:
        combination = plain | change
        assert clashes(combination)
        with pytest.raises(UserError):
            build(config_of(combination))
