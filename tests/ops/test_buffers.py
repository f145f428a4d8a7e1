"""What a pass that only looks leaves of the buffers of a module."""

import contextlib

import pytest
import torch
from torch import nn

from imbdet.ops.buffers import untouched_buffers


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("number", torch.zeros(2))
        self.register_buffer("later", None)


def in_place(module):
    module.number += 1


def anew(module):
    module.number = module.number + 1


def first_then_in_place(module):
    anew(module)
    in_place(module)


def made(module):
    module.later = torch.ones(3)


def added(module):
    module.register_buffer("another", torch.ones(3))


def removed(module):
    del module.number


@pytest.mark.parametrize("change", [in_place, anew, first_then_in_place, made, added, removed])
@pytest.mark.parametrize("fails", [False, True])
def test_buffers_are_those_of_before_whatever_a_pass_does(change, fails):
    module = nn.Sequential(Counter(), Counter())
    before = dict(module.named_buffers())
    with contextlib.suppress(RuntimeError), untouched_buffers(module):
        change(module[1])
        if fails:
            raise RuntimeError
    after = dict(module.named_buffers())
    assert list(after) == list(before)
    assert all(after[name] is buffer for name, buffer in before.items())
    assert not any(buffer.any() for buffer in after.values())
    assert module[1].later is None
