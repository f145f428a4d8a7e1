import errno
from pathlib import Path

import pytest

from imbdet.errors import UserError
from imbdet.files import opening_output, replacing


def test_a_full_disk_leaves_no_half_written_file(tmp_path):
    path = tmp_path / "folder" / "results.json"
    with replacing(path) as draft:
        draft.write_text("old")
    with pytest.raises(UserError, match=r"results\.json' cannot be written: No space"):
        write_on_full_disk(path)
    assert list(path.parent.iterdir()) == [path]
    assert path.read_text() == "old"


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "folder").write_text("")
    with (
        pytest.raises(UserError, match=r"a\.json' cannot be written: .*folder' is a file, not a"),
        replacing(tmp_path / "folder" / "inside" / "a.json"),
    ):
        pass


def test_an_output_is_a_folder_that_is_no_run(tmp_path):
    with opening_output(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    for name, says in (("run", "run' holds a run"), ("run/config.yaml", "cannot be written to")):
        with pytest.raises(UserError, match=says) as caught, opening_output(tmp_path / name):
            pytest.fail("it is opened")
        assert "--output" in str(caught.value)


def write_on_full_disk(path: Path):
    with replacing(path) as draft:
        draft.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_two_may_renew_a_file_at_the_same_time(tmp_path):
    path = tmp_path / "a.json"
    with replacing(path) as first:
        with replacing(path) as second:
            second.write_text("second")
            first.write_text("fir")
        assert path.read_text() == "second"
        first.write_text("first")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
