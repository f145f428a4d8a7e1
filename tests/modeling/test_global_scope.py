"""Detectors in two processes with losses of a global scope against one process with all images."""

import pytest
import torch

from tests.modeling.global_models import (
    ALL_IMAGES,
    CRITERIA,
    DETECTORS,
    SPLITS,
    pay,
    train,
    train_and_pay,
)
from tests.processes import call_in_processes


@pytest.fixture(scope="module")
def in_processes(tmp_path_factory):
    """The results of :func:`train_and_pay` in each of two processes."""
    return call_in_processes(train_and_pay, 2, tmp_path_factory.mktemp("processes"))


def mean(losses):
    """Mean of each loss over the processes."""
    return {name: torch.stack([part[name] for part in losses]).mean(dim=0) for name in losses[0]}


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("name", CRITERIA)
def test_a_criterion_sees_all_samples(name, split, in_processes):
    losses, grads, states = zip(*(r[0][name, split] for r in in_processes), strict=True)
    expected, expected_grads, expected_state = pay(name, ALL_IMAGES)
    torch.testing.assert_close(mean(losses), expected, rtol=1e-5, atol=1e-6)
    for of_processes, of_one in zip(zip(*grads, strict=True), expected_grads, strict=True):
        scale = float(of_one.abs().max())
        assert scale > 0
        averaged = torch.cat(of_processes) / 2
        torch.testing.assert_close(averaged, of_one, rtol=1e-5, atol=1e-6 * scale)
    for state in states:
        torch.testing.assert_close(state, expected_state)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_learns_as_in_one_process(name, in_processes):
    parts = [trained[name] for _, trained, _ in in_processes]
    expected, expected_grads, expected_buffers = train(name, ALL_IMAGES)
    torch.testing.assert_close(mean([losses for losses, _, _ in parts]), expected)
    for _, grads, buffers in parts:
        for key, grad in expected_grads.items():
            atol = 1e-5 * float(grad.abs().max())
            torch.testing.assert_close(grads[key], grad, rtol=1e-4, atol=atol, msg=key)
        if name == "retinanet":
            torch.testing.assert_close(
                buffers["module.loss_normalizer"], expected_buffers["loss_normalizer"]
            )


def test_nan_in_one_process_stops_all_where_it_is(in_processes):
    for *_, message in in_processes:
        assert "The losses of ImbRPN are not finite" in message
