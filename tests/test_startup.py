"""Garbage collection rests during imports, and then is as before."""

import gc

import pytest

from imbdet.startup import quick_imports


@pytest.fixture
def collector():
    yield gc
    gc.enable()


def fail_to_import():
    with quick_imports():
        assert not gc.isenabled()
        raise ImportError


@pytest.mark.parametrize("is_enabled", [True, False])
def test_garbage_is_collected_afterwards_as_before(collector, is_enabled):
    if not is_enabled:
        collector.disable()
    with pytest.raises(ImportError):
        fail_to_import()
    assert collector.isenabled() == is_enabled
