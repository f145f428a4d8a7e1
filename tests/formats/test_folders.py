from pathlib import Path

import pytest

from imbdet.formats.folders import datasets_root


@pytest.mark.parametrize(
    ("value", "root"), [(None, "datasets"), ("", "."), ("~/x", "/home/x"), ("x", "x")]
)
def test_the_folder_of_data_sets_is_detectron2s(value, root, monkeypatch):
    monkeypatch.setenv("HOME", "/home")
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    if value is not None:
        monkeypatch.setenv("DETECTRON2_DATASETS", value)
    assert datasets_root() == Path(root)
