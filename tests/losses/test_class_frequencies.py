"""How frequent classes are, and random numbers that a checkpoint goes on with."""

import pytest
import torch

from imbdet.errors import UserError
from imbdet.losses import ClassFrequencies, FrequencyLoss
from imbdet.losses.draws import Draws

CLASSES = [[0, 0, 2], [], [0], [2, 2, 2], ()]


def frequencies():
    return ClassFrequencies.of(iter(CLASSES), num_classes=3)


def test_objects_and_images_of_each_class_are_counted():
    counted = frequencies()
    assert counted.num_images == 5
    assert counted.images.tolist() == [2, 0, 2]
    assert counted.instances.tolist() == [3, 0, 4]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("images", [2, 0, 2]), ("instances", [3, 0, 4]), ("image_shares", [0.4, 0, 0.4])],
)
def test_a_loss_gets_its_numbers_also_from_a_state(kind, expected):
    def loss(logits, labels, numbers, *, factor):
        return factor * numbers

    module, resumed = (FrequencyLoss(loss, kind, num_classes=3) for _ in range(2))
    module.frequencies.learn(frequencies())
    resumed.load_state_dict(module.state_dict())
    for known in (module, resumed):
        paid = known(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), factor=2)
        torch.testing.assert_close(paid.double(), 2 * torch.tensor(expected, dtype=torch.float64))
    resumed.load_state_dict({})


def test_a_training_needs_them_and_an_evaluation_does_not():
    module = FrequencyLoss(lambda logits, labels, numbers: numbers, "images", num_classes=3)
    with pytest.raises(UserError, match=r"give_class_frequencies of imbdet\.modeling"):
        module(None, None)
    assert module.eval()(None, None).tolist() == [0, 0, 0]
    with pytest.raises(UserError, match="are of 3 classes, but the detector has 2"):
        FrequencyLoss(torch.sum, "images", num_classes=2).frequencies.learn(frequencies())


def numbers(draws):
    return torch.rand(3, generator=draws.next(torch.device("cpu"))).tolist()


def test_draws_go_on_where_a_state_was_saved():
    torch.manual_seed(0)
    draws = Draws()
    after = torch.rand(1)
    torch.manual_seed(0)
    drawn = [numbers(draws) for _ in range(2)]
    state = {name: value.clone() for name, value in draws.state_dict().items()}
    drawn += [numbers(draws) for _ in range(2)]
    assert len({tuple(values) for values in drawn}) == 4
    resumed = Draws()
    resumed.load_state_dict(state)
    assert [numbers(resumed) for _ in range(2)] == drawn[2:]
    torch.manual_seed(0)
    assert torch.randint(2**31, ()) == draws.seed
    assert torch.rand(1) == after  # torch's own generator gave the seed and nothing else


def test_draws_outside_a_training_change_nothing():
    draws = Draws()
    assert numbers(draws.eval()) == numbers(draws)
    assert draws.count == 0
    assert numbers(draws.train()) != numbers(draws)
