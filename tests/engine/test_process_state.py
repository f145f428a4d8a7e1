"""The state that each process gets back from a checkpoint."""

import random

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from imbdet.engine.process_state import (
    find_own_state,
    gather_process_states,
    restore_process_state,
    running_quantities,
)
from tests.messages import error_of


def make_model(value):
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    model[1].running_mean.fill_(value)
    return model


def draw():
    return random.random(), np.random.rand(), np.random.randn(), torch.rand(1).item()


def seed(value):
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
    np.random.randn()  # leaves half a pair of normal numbers in the state


def save_and_resume(rank, folder):
    store = torch.distributed.FileStore(str(folder / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    seed(rank)
    states = gather_process_states(running_quantities(make_model(rank)), {"Hook": rank})
    expected = draw()
    if rank == 0:
        assert list(states[1]["buffers"]) == ["1.running_mean"]  # others are those of rank 0
        torch.save(states, folder / "states.pth")
    torch.distributed.barrier()

    seed(7)
    own = find_own_state(torch.load(folder / "states.pth", weights_only=True))
    assert own.get("hooks") == (None if rank == 0 else {"Hook": rank})
    model = make_model(0)  # as rank 0 saved it
    restore_process_state(running_quantities(model), own)
    assert model[1].running_mean.tolist() == [rank, rank]
    assert draw() == expected


def test_each_process_gets_its_own_back(tmp_path):
    mp.start_processes(save_and_resume, args=(tmp_path,), nprocs=2, start_method="fork")


def test_what_the_config_no_longer_asks_for_is_left_out():
    (state,) = gather_process_states({}, {})
    quantities = {"stays": torch.zeros(2)}
    own = state | {"buffers": {"gone": torch.ones(3), "stays": torch.ones(2)}}
    restore_process_state(quantities, own)
    assert quantities["stays"].tolist() == [1, 1]
    own = state | {"buffers": {"stays": torch.ones(3)}}
    message = error_of(restore_process_state, quantities, own)
    assert message == "its buffer 'stays' of a process is of another model."


@pytest.mark.parametrize(
    ("number", "words"),
    [(3, "is of 3 processes and goes on with 1"), (0, "has no state of random numbers")],
)
def test_what_is_not_exact_is_said(number, words, caplog):
    assert find_own_state([{}] * number) is None
    (record,) = caplog.records
    assert words in record.getMessage()
