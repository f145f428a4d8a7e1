"""Statistics of training images by a checkpoint with known predictions."""

import math

import numpy as np
import pytest
import torch

from imbdet.analysis.analysed_images import build_loader
from imbdet.analysis.frozen_detector import FrozenDetector
from imbdet.data.training_records import load_training_records
from imbdet.modeling import build_model
from imbdet.surveying import look_at_checkpoint
from tests.messages import assert_says, error_of
from tests.modeling.conftest import small_config

# Scores of the two classes at every place.
SCORES = torch.tensor([0.2, 0.9])
ALL_BY_CROSS_ENTROPY = ["MODEL.CLS_LOSS.NAME", "sigmoid_cross_entropy"]


def config(toy, kind, *opts):
    toy.content["annotations"][1]["bbox"] = [18, 16, 20, 10]  # away from the dog
    data = toy.config()
    classes = "RETINANET" if kind == "retinanet" else "ROI_HEADS"
    cfg = small_config(kind, f"MODEL.{classes}.NUM_CLASSES", "2", *opts)
    cfg.DATASETS, cfg.INPUT, cfg.DATALOADER = data.DATASETS, data.INPUT, data.DATALOADER
    return cfg


def save(model, path):
    torch.save({"model": model.state_dict()}, path)
    return str(path)


@pytest.fixture
def says_dog(tmp_path):
    """Weights of a RetinaNet that predicts the same at every place."""

    def weights(cfg):
        model = build_model(cfg)
        layer = model.head.cls_score
        layer.weight.data.zero_()
        layer.bias.data.copy_(torch.logit(SCORES).repeat(len(layer.bias) // 2))
        return save(model, tmp_path / "says_dog.pth")

    return weights


def test_shares_are_those_of_the_known_scores(toy, says_dog):
    cfg = config(toy, "retinanet", *ALL_BY_CROSS_ENTROPY)
    look, _ = look_at_checkpoint(cfg, says_dog(cfg), num_images=3)
    assert (look.num_images, look.of_images) == (3, 3)  # the fourth one is empty
    negatives, (cats, dogs) = count(cfg, says_dog(cfg))

    def share(of_cat, of_dog, of_background):
        own = negatives * of_background
        return own / (own + cats * of_cat + dogs * of_dog)

    cat, dog = SCORES.tolist()
    assert look.background.candidates == look.background.chosen == share(1, 1, 1)
    no_cat, no_dog = -math.log(1 - cat), -math.log(1 - dog)
    expected = share(-math.log(cat) + no_dog, -math.log(dog) + no_cat, no_cat + no_dog)
    assert look.background.loss == pytest.approx(expected)
    # The absolute gradient of an entry is |p - y|.
    expected = share(1 - cat + dog, 1 - dog + cat, cat + dog)
    assert look.background.gradient == pytest.approx(expected)


def count(cfg, weights):
    """Numbers of negatives, and of positives of each class, by the assigner."""
    cfg = cfg.clone()
    cfg.MODEL.WEIGHTS = weights
    detector = FrozenDetector(cfg)
    found = [
        detector.collect(image).candidates
        for (image,) in build_loader(cfg, load_training_records(cfg).records)
    ]
    labels = torch.cat([candidates.gt_labels for candidates in found])
    return int((labels == 2).sum()), [int((labels == k).sum()) for k in range(2)]


def test_the_class_that_is_never_said_is_not_learnt(toy, says_dog):
    cfg = config(toy, "retinanet")
    look, doubts = look_at_checkpoint(cfg, says_dog(cfg), num_images=100)
    assert doubts.judged == {0: 1, 1: 3}  # the crowd is no object
    assert doubts.not_learnt[0] == 1
    # Dogs are said with confidence far from all objects.
    assert sorted(doubts.forgotten) == ["10", "20", "30"]
    # A single cat is not in doubt, since another class is said of all objects of its class.
    assert doubts.other_class == []
    assert look.sides == pytest.approx([math.sqrt(200)] * 4)
    assert (look.num_positives > 0).all()


def test_images_are_drawn_with_a_fixed_seed(toy, says_dog):
    cfg = config(toy, "retinanet")
    weights = says_dog(cfg)
    looks = [look_at_checkpoint(cfg, weights, num_images=2)[0] for _ in range(2)]
    assert looks[0].num_images == 2
    np.testing.assert_array_equal(looks[0].num_positives, looks[1].num_positives)
    assert looks[0].background == looks[1].background


def test_a_data_set_that_is_named_twice_has_two_sights(toy, says_dog):
    cfg = config(toy, "retinanet")
    cfg.DATASETS.TRAIN = ("toy", "toy")
    look, doubts = look_at_checkpoint(cfg, says_dog(cfg), num_images=100)
    assert look.num_images == look.of_images == 6
    assert doubts.objects == 4


def test_a_ranking_has_no_losses_of_samples(toy, says_dog):
    cfg = config(toy, "retinanet", "MODEL.CLS_LOSS.NAME", "ap")
    look, _ = look_at_checkpoint(cfg, says_dog(cfg), num_images=1)
    assert look.background.loss is None
    assert 0 < look.background.gradient < 1


@pytest.mark.parametrize("kind", ["faster_rcnn", "cascade_rcnn"])
def test_the_ground_truth_among_proposals_is_no_positive(kind, toy, tmp_path):
    looks = []
    for appends in ("True", "False"):
        cfg = config(toy, kind, "MODEL.ROI_HEADS.PROPOSAL_APPEND_GT", appends)
        torch.manual_seed(0)
        weights = save(build_model(cfg), tmp_path / "weights.pth")
        looks.append(look_at_checkpoint(cfg, weights, num_images=3))
    (with_gt, doubts), (without, _) = looks
    np.testing.assert_array_equal(with_gt.num_positives, without.num_positives)
    assert doubts.objects == 4
    assert with_gt.background.candidates < without.background.candidates


def test_weights_that_do_not_fit_are_refused(toy, says_dog, tmp_path):
    cfg = config(toy, "retinanet")
    other = save(build_model(config(toy, "faster_rcnn")), tmp_path / "other.pth")
    assert_says(error_of(look_at_checkpoint, cfg, other, 1), "Cannot load", other)
    missing = str(tmp_path / "nowhere.pth")
    assert_says(error_of(look_at_checkpoint, cfg, missing, 1), missing, "does not exist")
