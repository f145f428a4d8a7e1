import errno
from pathlib import Path

import pytest

from imbdet.errors import UserError
from imbdet.files import replacing


def test_a_full_disk_leaves_no_half_written_file(tmp_path):
    path = tmp_path / "folder" / "results.json"
    with replacing(path) as draft:
        draft.write_text("old")
    with pytest.raises(UserError, match=r"results\.json' cannot be written: No space"):
        write_on_full_disk(path)
    assert list(path.parent.iterdir()) == [path]
    assert path.read_text() == "old"


def write_on_full_disk(path: Path):
    with replacing(path) as draft:
        draft.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
