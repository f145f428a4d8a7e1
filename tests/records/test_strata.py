import pytest
import torch

from imbdet.records import draw_negatives, joint_histogram
from tests.records.factories import NUM_CLASSES, make_record

NUM_HARD, NUM_RANDOM = 4, 3


def negatives_of(record, image):
    mask = (record.samples.gt_labels == NUM_CLASSES) & (record.samples.image_idxs == image)
    return mask.nonzero().squeeze(1)


@pytest.mark.parametrize("pointwise", [True, False])
def test_the_hardest_are_kept_and_the_others_stand_for_the_rest(pointwise):
    record = make_record(pointwise=pointwise)
    hardness = record.cls_losses if pointwise else record.scores
    strata = draw_negatives(record, NUM_HARD, NUM_RANDOM)
    assert len(strata.rows.unique()) == len(strata.rows) == 2 * (NUM_HARD + NUM_RANDOM)
    assert (record.samples.gt_labels[strata.rows] == NUM_CLASSES).all()
    for image in (0, 2):
        pool = negatives_of(record, image)
        kept = record.samples.image_idxs[strata.rows] == image
        hardest = pool[hardness[pool].argsort(descending=True)[:NUM_HARD]]
        is_hard = torch.isin(strata.rows[kept], hardest)
        assert is_hard.sum() == NUM_HARD
        weights = strata.weights[kept]
        assert (weights[is_hard] == 1).all()
        rest = len(pool) - NUM_HARD
        torch.testing.assert_close(
            weights[~is_hard], torch.full((NUM_RANDOM,), rest / NUM_RANDOM).double()
        )


@pytest.mark.parametrize("num_hard", [0, 2, 1000])
@pytest.mark.parametrize("num_random", [1, 1000])
def test_the_weights_add_up_to_the_number_of_negatives(num_hard, num_random):
    record = make_record()
    strata = draw_negatives(record, num_hard, num_random)
    for image in range(3):
        kept = record.samples.image_idxs[strata.rows] == image
        assert strata.weights[kept].sum().item() == pytest.approx(len(negatives_of(record, image)))
    if max(num_hard, num_random) == 1000:
        assert (strata.weights == 1).all()


def test_weighted_histograms_are_unbiased():
    record = make_record((300, 0, 100))
    is_negative, ious = record.samples.candidates.is_negative, record.samples.ious
    samples = zip(ious[:, None], record.cls_losses[:, None], strict=True)
    of_sample = torch.stack([joint_histogram(*sample).flatten() for sample in samples]).double()
    exact = of_sample[is_negative].sum(dim=0)
    draws = []
    for seed in range(4000):
        generator = torch.Generator().manual_seed(seed)
        rows, weights = draw_negatives(record, 10, 10, generator)
        draws.append(weights.double() @ of_sample[rows])
    draws = torch.stack(draws)
    errors = (draws.mean(dim=0) - exact).abs()
    # A bin without spread is exact; of 700 bins, none is 5 standard errors off.
    assert (errors <= 5 * draws.std(dim=0) / len(draws) ** 0.5 + 1e-9).all()
    assert draws.std(dim=0).max() > 1


def test_randomness_is_the_generators():
    record = make_record((300, 0, 100))
    state = torch.random.get_rng_state()
    same, again, other = (
        draw_negatives(record, 2, 5, torch.Generator().manual_seed(seed)).rows.tolist()
        for seed in (1, 1, 2)
    )
    assert same == again != other
    assert torch.equal(torch.random.get_rng_state(), state)


def test_no_negatives():
    strata = draw_negatives(make_record((0, 0)), NUM_HARD, NUM_RANDOM)
    assert len(strata.rows) == len(strata.weights) == 0
