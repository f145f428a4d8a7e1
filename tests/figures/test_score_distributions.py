import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from imbdet.figures.score_distributions import ScoreWeights
from imbdet.figures.study import NothingToShow
from imbdet.losses.dr import dr_loss


def gather(*images, lambda_pos=1.0, lambda_neg=1.0, margin=0.5):
    gathered = ScoreWeights(lambda_pos, lambda_neg, margin)
    for scores, labels in images:
        gathered.add(torch.tensor(scores), torch.tensor(labels))
    return gathered


def test_numbers_by_hand():
    # Weights with the odds 1 : 2 and 3 : 1, as log 2 / 0.5 and log 3 / 0.25 are the temperatures.
    first = [[0.76, 0.11], [0.26, 0.11], [0.36, 0.36], [0.99, 0.99]], [0, 0, 2, -1]
    second = [[0.9]], [0]  # ranks nothing
    numbers = gather(
        first, second, lambda_pos=0.5 / math.log(2), lambda_neg=0.25 / math.log(3)
    ).result()
    found = {
        sign: {i: (int(n), w) for i, (n, w) in enumerate(zip(counts, weights, strict=True)) if n}
        for (sign, counts), weights in zip(
            numbers.counts.items(), numbers.weights.values(), strict=True
        )
    }
    assert found == {
        "positives": {10: (1, pytest.approx(2 / 3)), 30: (1, pytest.approx(1 / 3))},
        "negatives": {4: (2, pytest.approx(2 / 8)), 14: (2, pytest.approx(6 / 8))},
    }
    assert numbers.means["positives"] == pytest.approx(0.26 + 0.5 / 3)
    assert numbers.means["negatives"] == pytest.approx(0.11 + 0.25 * 3 / 4)
    assert "P+ is 0.43 and the negatives' P- 0.30; P+ is by the margin" in numbers.sentence()
    assert "above P- in 0 % of the images." in numbers.sentence()


def test_the_expectations_are_those_of_the_loss():
    generator = torch.Generator().manual_seed(0)
    images = []
    for _ in range(3):
        logits = 2 * torch.randn(40, 2, generator=generator, dtype=torch.float64)
        images.append((logits, torch.randint(-1, 3, (40,), generator=generator)))
    lambdas = {"lambda_pos": 0.7, "lambda_neg": 0.1}
    gathered = ScoreWeights(**lambdas, margin=0.3)
    for logits, labels in images:
        gathered.add(logits.sigmoid(), labels)
    numbers = gathered.result()
    pos, neg = (torch.from_numpy(numbers.expectations[s]) for s in ("positives", "negatives"))
    loss = dr_loss(
        torch.cat([logits for logits, _ in images]),
        torch.cat([labels for _, labels in images]),
        image_idxs=torch.arange(3).repeat_interleave(40),
        **lambdas,
        margin=0.3,
        sharpness=5.0,
        tau=1.0,
    )
    torch.testing.assert_close(loss, F.softplus(5 * (neg - pos + 0.3)).mean() / 5)
    for sign in ("positives", "negatives"):
        assert numbers.weights[sign].sum() == pytest.approx(1)
        assert numbers.shares[sign].sum() == pytest.approx(1)


def test_the_drawing_shows_both_expectations():
    numbers = gather(([[0.9, 0.2], [0.1, 0.3]], [0, 2])).result()
    _, weights = numbers.draw().axes
    drawn = [line.get_xdata()[0] for line in weights.lines]
    np.testing.assert_allclose(drawn, [0.9, numbers.means["negatives"]])
    assert f"P⁺ 0.90, P⁻ {numbers.means['negatives']:.2f}" in weights.get_title(loc="left")


@pytest.mark.parametrize(
    "image", [([[0.9]], [0]), ([[0.9]], [1]), ([[0.9]], [-1])], ids=["no -", "no +", "ignored"]
)
def test_images_that_rank_nothing_are_said(image):
    with pytest.raises(NothingToShow, match="no image has both"):
        gather(image).result()
