import pytest


@pytest.fixture(scope="module")
def datasets_dir(tmp_path_factory):
    """Where the data sets of a file's tests are generated."""
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture
def own_datasets(datasets_dir, monkeypatch):
    """For tests that train."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets_dir))
