"""Weights and ignored regions of the data reach every head."""

import pytest
import torch
from detectron2.structures import Boxes

from imbdet.learning import learners_of
from imbdet.modeling import GroundTruth
from tests.modeling.conftest import NUM_CLASSES, make_batch, small_config, train_step

KINDS = ["retinanet", "faster_rcnn", "cascade_rcnn"]


def told(batch, *, weights=None, **of_image):
    """The batch with facts of the data; ``weights`` has those of each image's objects."""
    for index, image in enumerate(batch):
        objects = image["instances"]
        fields = objects.get_fields()
        if weights is not None:
            fields["gt_weights"] = weights[index]
        own = {name: values[index] for name, values in of_image.items()}
        image["instances"] = GroundTruth(objects.image_size, **own, **fields)
    return batch


def seen_by(model, batch):
    """Candidates of each site, losses and gradients."""
    candidates = []
    for learner in learners_of(model):
        learner.candidate_sink = candidates.append
    losses, gradients, _ = train_step(model, batch)
    return candidates, losses, gradients


@pytest.mark.parametrize("kind", [*KINDS, "mask_rcnn"])
def test_weights_of_1_and_regions_elsewhere_change_nothing(build, kind):
    model = build(small_config(kind))
    plain = train_step(model, make_batch([3, 2]))
    model = build(small_config(kind))
    batch = told(
        make_batch([3, 2]),
        weights=[torch.ones(3), torch.ones(2)],
        image_weight=[1.0, 1.0],
        regions=[Boxes(torch.empty(0, 4)), Boxes(torch.tensor([[500.0, 500, 501, 501]]))],
    )
    losses, gradients, _ = train_step(model, batch)
    torch.testing.assert_close((losses, gradients), plain[:2], rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["faster_rcnn", "cascade_rcnn"])
def test_a_common_factor_of_all_images_changes_nothing(build, kind):
    weights = [torch.tensor([1.0, 2.0, 0.5]), torch.tensor([1.0, 3.0])]
    results = []
    for factor in (1.0, 0.25):
        batch = told(make_batch([3, 2]), weights=weights, image_weight=[factor * 1.0, factor * 2.0])
        results.append(train_step(build(small_config(kind)), batch)[:2])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_without_weight_has_no_samples_at_any_place(build, kind):
    batch = told(make_batch([3, 2]), weights=[torch.tensor([1.0, 0, 1]), torch.ones(2)])
    plain, _, _ = seen_by(build(small_config(kind)), make_batch([3, 2]))
    candidates, losses, _ = seen_by(build(small_config(kind)), batch)
    assert any((before.gt_idxs == 1).any() for before in plain)
    for place in candidates:
        assert not (place.gt_idxs == 1).any()
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_weight_is_none(build, kind):
    """Losses are those of the other image alone, apart from the RPN's proposals of both."""
    both = told(make_batch([3, 2]), image_weight=[1.0, 0.0])
    candidates, losses, _ = seen_by(build(small_config(kind)), both)
    for place in candidates:
        assert (place.gt_labels[place.image_idxs == 1] == -1).all()
    _, expected, _ = seen_by(build(small_config(kind)), make_batch([3, 2])[:1])
    if kind == "retinanet":
        torch.testing.assert_close(losses, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_no_background_learns_in_a_region(build, kind):
    everywhere = Boxes(torch.tensor([[-1000.0, -1000, 1000, 1000]]))
    batch = told(make_batch([3, 2]), regions=[everywhere, everywhere])
    model = build(small_config(kind))
    candidates, _, _ = seen_by(model, batch)
    for place in candidates:
        assert len(place.neg_idxs) == 0
    assert any(place.is_in_region.any() for place in candidates)


def test_a_region_gives_no_gradient_inside_and_leaves_it_outside(build):
    region = torch.tensor([0.0, 0, 64, 96])
    model, levels = build(small_config("retinanet")), []
    forward = model.forward_training

    def keep_gradients(images, features, predictions, gt_instances):
        levels.extend(predictions[0])
        for level in levels:
            level.retain_grad()
        return forward(images, features, predictions, gt_instances)

    model.forward_training = keep_gradients
    batch = told(make_batch([0]), regions=[Boxes(region[None])])
    (place,), _, _ = seen_by(model, batch)
    rows = [level.grad.unflatten(1, (-1, NUM_CLASSES)).permute(0, 3, 4, 1, 2) for level in levels]
    by_row = torch.cat([of_level.reshape(-1, NUM_CLASSES) for of_level in rows])
    corners = place.boxes.unflatten(1, (2, 2))
    shared = corners[:, 1].minimum(region[2:]) - corners[:, 0].maximum(region[:2])
    areas = (corners[:, 1] - corners[:, 0]).prod(dim=1)
    is_inside = shared.clamp(min=0).prod(dim=1) / areas >= 0.5
    assert 0 < is_inside.sum() < len(place)
    assert (by_row[is_inside] == 0).all()
    assert (by_row[~is_inside] != 0).all()
