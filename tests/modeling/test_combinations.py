"""Any two options that have a meaning together train together: a pairwise covering set of keys."""

import pytest
import torch

from imbdet.errors import UserError
from imbdet.learning.criteria import SCOPES
from imbdet.methods import (
    BOX_LOSSES,
    CLS_LOSSES,
    NEGATIVE_SAMPLERS,
    POSITIVE_SAMPLERS,
    WEIGHTINGS,
)
from imbdet.modeling import site_keys
from imbdet.modeling.build import build_criterion, build_sampler
from tests.modeling.conftest import make_batch, small_config, train_step
from tests.modeling.pairwise import all_pairs, completions, covering_set, pairs_of
from tests.narrow import NARROW

KEYS = {
    "cls_loss": "MODEL.CLS_LOSS.NAME",
    "box_loss": "MODEL.BOX_LOSS.NAME",
    "positive": "MODEL.SAMPLER.POSITIVE.NAME",
    "negative": "MODEL.SAMPLER.NEGATIVE.NAME",
    "weighting": "MODEL.WEIGHTING.NAMES",
    "carl": "MODEL.CARL.ENABLED",
    "guided": "MODEL.CLS_LOSS.GUIDED_SCALE",
    "scope": "MODEL.CLS_LOSS.SCOPE",
}


def names(registry):
    return [name for name, _ in registry]


# One loss for long tails for each kind of columns; test_long_tails.py has all.
TAIL_LOSSES = ["bags", "efl", "seesaw"]
FACTORS = {
    "kind": ["retinanet", "faster_rcnn"],
    "cls_loss": [
        name for name, loss in CLS_LOSSES if not loss.balances_classes or name in TAIL_LOSSES
    ],
    "box_loss": names(BOX_LOSSES),
    "positive": names(POSITIVE_SAMPLERS),
    "negative": names(NEGATIVE_SAMPLERS),
    "weighting": ["", *names(WEIGHTINGS)],
    "carl": [False, True],
    "guided": [False, True],
    "scope": list(SCOPES),
}
# Losses with columns of logits beside those of the classes.
BESIDE_CLASSES = {"softmax_cross_entropy", "bags", "seesaw"}
RANKINGS = {"dr", "ap", "auc", "alrp", "rank_sort"}


def clashes(combination):
    """Number of documented refusals that a combination meets, written apart from the code."""
    c = combination
    ranks = c["cls_loss"] in RANKINGS
    return sum(
        [
            c["cls_loss"] == "alrp" and c["box_loss"] != "giou",
            c["carl"] and c["box_loss"] in ("giou", "diou", "ciou"),
            ranks and c["weighting"] != "",
            ranks and c["carl"],
            ranks and c["guided"],
            ranks and "ohem" in (c["positive"], c["negative"]),
            c["scope"] == "image" and not ranks,
            c["weighting"] == "isr_n" and c["negative"] != "score_hlr",
            c["kind"] == "retinanet" and c["positive"] != "all",
            c["kind"] == "retinanet" and c["negative"] == "score_hlr",
            c["kind"] == "retinanet" and c["cls_loss"] in BESIDE_CLASSES,
        ]
    )


def config_of(combination):
    values = combination | {"weighting": [name for name in [combination["weighting"]] if name]}
    keys = NARROW | {key: values[factor] for factor, key in KEYS.items()}
    return small_config(combination["kind"], *(x for pair in keys.items() for x in pair))


def build_parts(cfg):
    return build_criterion(cfg, site_keys.RETINANET), build_sampler(cfg, site_keys.RETINANET)


COMBINATIONS = covering_set(FACTORS, clashes)


def label(combination):
    return "-".join(str(value) for value in combination.values())


@pytest.mark.parametrize("combination", COMBINATIONS, ids=label)
def test_every_pair_of_options_trains(combination, build):
    model = build(config_of(combination))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for seed, num_boxes in enumerate([[3, 4], [0, 0], [12, 0], [1, 2], [0, 5]]):
        losses, gradients, _ = train_step(model, make_batch(num_boxes, seed=seed))
        optimizer.step()
        assert all(loss.isfinite() for loss in losses.values())
        assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())


def test_a_pair_that_is_left_out_has_no_meaning():
    left_out = all_pairs(FACTORS) - set().union(*map(pairs_of, COMBINATIONS))
    for pair in left_out:
        assert all(map(clashes, completions(pair, FACTORS))), pair


def test_the_set_covers_every_option_and_its_refusals_are_real():
    covered = set().union(*map(pairs_of, COMBINATIONS))
    for name, options in FACTORS.items():
        for option in options:
            assert any((name, option) in pair for pair in covered), (name, option)
    plain = {name: options[0] for name, options in FACTORS.items()}
    plain |= {"cls_loss": "focal", "box_loss": "l1", "positive": "all", "negative": "all"}
    refused = [
        {"cls_loss": "alrp"},
        {"carl": True, "box_loss": "ciou"},
        {"cls_loss": "ap", "weighting": "isr_p"},
        {"cls_loss": "dr", "guided": True},
        {"cls_loss": "auc", "negative": "ohem"},
        {"scope": "image"},
        {"weighting": "isr_n"},
        {"positive": "ohem"},
        {"negative": "score_hlr"},
        {"cls_loss": "softmax_cross_entropy"},
        {"cls_loss": "seesaw"},
    ]
    assert not clashes(plain)
    for change in refused:
        combination = plain | change
        assert clashes(combination)
        with pytest.raises(UserError):
            build_parts(config_of(combination))
