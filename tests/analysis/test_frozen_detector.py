import copy

import pytest
import torch
from detectron2.utils.events import EventStorage

from imbdet.analysis.frozen_detector import FrozenDetector
from imbdet.structures import Candidates
from tests.modeling.conftest import make_batch, small_config


def frozen(kind, *opts):
    torch.manual_seed(0)
    return FrozenDetector(small_config(kind, *opts))


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn", "mask_rcnn", "cascade_rcnn"])
def test_candidates_are_those_of_the_training(kind):
    detector = frozen(kind, "MODEL.RPN.POST_NMS_TOPK_TEST", 5)
    (image,) = batch = make_batch([3])
    found = detector.collect(image)
    # With frozen statistics the training mode computes the same.
    seen = []
    detector.learner.candidate_sink = seen.append
    detector.model.train()
    with EventStorage():
        detector.model(copy.deepcopy(batch))
    (candidates,) = seen
    assert len(candidates) > 5 + 3
    for name in ("gt_labels", "gt_idxs", "ious"):
        torch.testing.assert_close(getattr(found.candidates, name), getattr(candidates, name))
    assert found.num_appended == (0 if kind == "retinanet" else 3)
    assert found.num_not_finite == 0


def test_losses_are_those_of_the_criterion():
    detector = frozen("faster_rcnn")
    candidates = detector.collect(make_batch([2])[0]).candidates
    assert detector.has_sample_losses
    rows, outputs = candidates.pos_idxs, candidates.outputs
    expected = -outputs.scores[rows, candidates.gt_labels[rows]].log()  # softmax
    torch.testing.assert_close(candidates.cls_losses[rows], expected)


def test_cross_entropy_stands_in_for_a_loss_of_the_ranking():
    detector = frozen("faster_rcnn", "MODEL.CLS_LOSS.NAME", "ap")
    assert not detector.has_sample_losses
    candidates = detector.collect(make_batch([2])[0]).candidates
    scores, row = candidates.outputs.scores, int(candidates.pos_idxs[0])
    own = candidates.gt_labels[row]
    others = [k for k in range(scores.shape[1]) if k != own]
    expected = -scores[row, own].log() - (1 - scores[row, others]).log().sum()
    torch.testing.assert_close(candidates.cls_losses[row], expected)


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_looking_changes_nothing(kind):
    detector = frozen(kind, "MODEL.RESNETS.NORM", "BN", "MODEL.CLS_LOSS.NAME", "ghm_c")
    before = copy.deepcopy(detector.model.state_dict())
    detector.collect(make_batch([2])[0])
    for name, value in detector.model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_no_objects():
    found = frozen("faster_rcnn").collect(make_batch([0])[0])
    assert len(found.candidates) > 0
    assert found.num_appended == 0
    assert len(found.candidates.pos_idxs) == 0


def test_what_is_not_finite_is_ignored():
    detector = frozen("faster_rcnn")
    predictor = detector.model.roi_heads.box_predictor
    forward = predictor.forward

    def forward_with_nan(features):
        scores, deltas = forward(features)
        scores[0, 1] = torch.nan
        deltas[-1, 0] = torch.inf
        return scores, deltas

    predictor.forward = forward_with_nan
    found = detector.collect(make_batch([2])[0])
    assert found.num_not_finite == 2
    assert isinstance(found.candidates, Candidates)
    assert found.candidates.gt_labels[[0, -1]].tolist() == [-1, -1]
    assert len(found.candidates) - 1 not in found.candidates.pos_idxs.tolist()
    assert found.candidates.gt_idxs[-1] == -1
