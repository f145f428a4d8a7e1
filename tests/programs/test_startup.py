"""Garbage collection is off during imports, then as before, except for what was imported."""

import gc
import sys
import types

import pytest

from imbdet.programs.startup import quick_imports


@pytest.fixture
def collector():
    yield gc
    gc.enable()
    gc.unfreeze()


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


@pytest.mark.parametrize("is_new", [True, False])
def test_only_new_modules_stay_out_of_later_collections(collector, monkeypatch, is_new):
    collector.unfreeze()
    with quick_imports():
        if is_new:
            monkeypatch.setitem(sys.modules, "new_one", types.ModuleType("new_one"))
    assert (collector.get_freeze_count() > 0) == is_new
