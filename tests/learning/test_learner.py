"""A learner asks for outputs only where a part needs them, and reports what it did."""

import pytest
import torch

from imbdet.assigners import IgnoreOutside, max_iou, simota
from imbdet.errors import UserError
from imbdet.learning import Learner, Place
from imbdet.learning.criteria import BoxLoss, PointwiseCriterion, RankingCriterion, SampleLoss
from imbdet.learning.normalizers import Quota, num_samples
from imbdet.losses import ap_loss, focal_loss, smooth_l1_loss
from imbdet.samplers import HardSampler, RatioSampler, pick_all, sample_all
from imbdet.structures import Outputs, Priors, Targets
from tests.weighting.factories import BoxCoder

NUM_CLASSES = 3


class Log:
    iter = 19

    def __init__(self):
        self.scalars = {}

    def put_scalar(self, name, value):
        self.scalars[name] = value


def needing_outputs(assigner):
    def assign(priors, targets, outputs):
        return assigner(priors, targets, outputs)

    assign.needs = frozenset({"outputs"})
    return assign


def grid_of_priors():
    centres = torch.cartesian_prod(torch.arange(8.0, 64, 16), torch.arange(8.0, 64, 16))
    boxes = torch.cat([centres - 8, centres + 8], dim=1)
    return Priors(boxes, strides=torch.full((16,), 16.0), level_sizes=[16])


def problem():
    generator = torch.Generator().manual_seed(0)
    targets = Targets(
        torch.tensor([[2.0, 2, 18, 18], [30, 30, 60, 60], [0, 40, 20, 64]]),
        torch.tensor([0, 2, 1]),
        num_per_image=[2, 1],
        image_sizes=[(64, 64), (64, 64)],
    )
    outputs = Outputs(
        torch.randn(32, NUM_CLASSES, generator=generator).requires_grad_(),
        deltas=(0.1 * torch.randn(32, 4, generator=generator)).requires_grad_(),
        box2box_transform=BoxCoder(),
    )
    return grid_of_priors(), targets, outputs


def learner(*, assigner=max_iou, sampler=sample_all, criterion=None, log=None, **options):
    if criterion is None:
        criterion = PointwiseCriterion(
            cls_loss=SampleLoss(focal_loss), box_loss=BoxLoss(smooth_l1_loss)
        )
    log = log or Log()
    return Learner(
        Place("dense", "dense", "Head"),
        assigner=assigner,
        sampler=sampler,
        criterion=criterion,
        normalizer=options.pop("normalizer", num_samples),
        num_classes=NUM_CLASSES,
        log=lambda: log,
        **options,
    )


@pytest.mark.parametrize("assigner", [max_iou, IgnoreOutside(max_iou, 0)], ids=["plain", "inside"])
def test_outputs_are_not_asked_for_if_no_part_needs_them(assigner):
    priors, targets, _ = problem()

    def look():
        pytest.fail("nobody needs outputs")

    chosen = learner(assigner=assigner).choose(priors, targets, look)
    assert len(chosen) == 32
    assert chosen.outputs is None


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: IgnoreOutside(a, 1)], ids=["", "inside"])
def test_an_assigner_that_looks_at_outputs_gets_decoded_boxes(wrap):
    priors, targets, outputs = problem()
    looks = []

    def look():
        looks.append(1)
        return outputs

    assigner = wrap(needing_outputs(simota))
    chosen = learner(assigner=assigner).choose(priors, targets, look)
    assert len(looks) == 1
    boxes = BoxCoder().apply_deltas(outputs.deltas.detach(), priors.boxes.repeat(2, 1))
    expected = simota(priors, targets, Outputs(outputs.logits.detach(), boxes))
    assert torch.equal(chosen.gt_idxs, expected.gt_idxs.clamp(min=-1))
    assert (chosen.gt_idxs >= 0).any()


def test_proposals_are_assigned_image_by_image():
    priors, targets, outputs = problem()
    shared = learner().candidates(priors, targets, outputs)
    proposals = Priors(priors.boxes.repeat(2, 1), num_per_image=[16, 16])
    own = learner().candidates(proposals, targets, outputs)
    for name in ("gt_labels", "gt_idxs", "ious"):
        assert torch.equal(getattr(own, name), getattr(shared, name)), name
    assert own.levels is None
    assert torch.equal(own.boxes, shared.boxes)


def test_pays_for_the_chosen_and_tells_of_them():
    priors, targets, outputs = problem()
    log, seen, records = Log(), [], []
    sampler = RatioSampler(pick_all, HardSampler(), min_negatives=4)
    place = learner(sampler=sampler, log=log, normalizer=Quota(8))
    place.candidate_sink = seen.append
    place.record_sinks.append(records.append)
    chosen = place.choose(priors, targets, outputs)
    losses = place.pay(chosen, outputs.take(chosen.rows), {"logits": outputs.logits})
    (candidates,), (record,) = seen, records
    expected = focal_loss(outputs.logits, candidates.gt_labels)
    torch.testing.assert_close(candidates.cls_losses, expected.detach())
    torch.testing.assert_close(record.cls_losses, expected.detach()[chosen.rows])
    torch.testing.assert_close(losses["loss_cls"], expected[chosen.rows].sum() / (8 * 2))
    assert torch.equal(chosen.boxes, priors.boxes.repeat(2, 1)[chosen.rows])
    assert log.scalars["dense/neg_chosen_count"] == len(chosen.neg_idxs) / 2
    assert log.scalars["dense/neg_chosen_loss"] > log.scalars["dense/neg_available_loss"]
    sum(losses.values()).backward()
    is_chosen = torch.zeros(32, dtype=torch.bool).index_fill(0, chosen.rows, True)
    assert torch.equal(outputs.logits.grad.any(dim=1), is_chosen)


def test_what_is_not_finite_names_the_place_and_the_iteration():
    priors, targets, outputs = problem()
    with torch.no_grad():
        outputs.logits[3, 1] = torch.nan
    place = learner()
    chosen = place.choose(priors, targets, outputs)
    with pytest.raises(UserError, match=r"losses of Head are not finite in iteration 19") as error:
        place.pay(chosen, outputs.take(chosen.rows), {"logits": outputs.logits})
    assert "1 of the 96 logits" in str(error.value)
    assert error.value.samples["box"].tolist() == [priors.boxes[3].tolist()]


def test_a_sampler_of_losses_refuses_a_criterion_that_does_not_tell_them():
    ranking = RankingCriterion(cls_loss=ap_loss, box_loss=BoxLoss(smooth_l1_loss))
    sampler = RatioSampler(pick_all, HardSampler(), min_negatives=4)
    with pytest.raises(UserError, match="RankingCriterion does not tell"):
        learner(sampler=sampler, criterion=ranking)


def test_proposals_outside_their_image_are_ignored_too():
    priors, targets, outputs = problem()
    inside = IgnoreOutside(max_iou, 0)
    shared = learner(assigner=inside).candidates(priors, targets, outputs)
    proposals = Priors(priors.boxes.repeat(2, 1), num_per_image=[16, 16])
    own = learner(assigner=inside).candidates(proposals, targets, outputs)
    assert torch.equal(own.gt_labels, shared.gt_labels)
    assert (own.gt_labels == -1).any()


def test_image_sizes_that_are_missing_are_said_to_be():
    priors, targets, outputs = problem()
    bare = Targets(targets.boxes, targets.classes, targets.num_per_image)
    with pytest.raises(ValueError, match="looks at sizes of images, which the targets lack"):
        learner(assigner=IgnoreOutside(max_iou, 0)).candidates(priors, bare, outputs)
