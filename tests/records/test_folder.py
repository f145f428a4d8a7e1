import os

import pytest

from imbdet.records.folder import RecordFolder
from tests.messages import error_of


def names(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_parts_are_named_after_their_last_iteration_and_process(tmp_path):
    folder = RecordFolder(tmp_path, max_bytes=1000, rank=3, num_processes=4)
    assert folder.write(99, {"samples.parquet": b"rows", "histograms.npz": b"counts"})
    assert names(tmp_path) == [
        "histograms/part-0000099-rank3.npz",
        "samples/part-0000099-rank3.parquet",
    ]
    assert (tmp_path / "samples/part-0000099-rank3.parquet").read_bytes() == b"rows"


def test_a_resumed_run_drops_what_it_will_write_again(tmp_path):
    for rank in (0, 1):
        folder = RecordFolder(tmp_path, max_bytes=1000, rank=rank)
        for iteration in (99, 199, 12345678):
            folder.write(iteration, {"samples.parquet": b"rows"})
    (tmp_path / "samples" / ".part-0000099-rank0.parquet.tmp").write_bytes(b"ro")
    folder.drop_from(199)
    assert names(tmp_path) == [f"samples/part-0000099-rank{rank}.parquet" for rank in (0, 1)]
    folder.drop_from(0)
    assert names(tmp_path) == []


def test_the_period_doubles_each_time_half_of_the_rest_is_used(tmp_path):
    folder = RecordFolder(tmp_path, max_bytes=1024)
    thinnings = []
    for iteration in range(64):
        thinnings.append(folder.thinning)
        # With twice the period there are half the rows.
        assert folder.write(iteration, {"samples.parquet": bytes(256 // folder.thinning)})
    assert thinnings[:9] == [1, 1, 2, 2, 4, 4, 8, 8, 16]
    total = sum(path.stat().st_size for path in tmp_path.rglob("part-*"))
    assert total == folder.used_bytes <= 1024
    again = RecordFolder(tmp_path, max_bytes=1024)
    again.measure()
    assert again.thinning == folder.thinning


def test_nothing_is_written_beyond_the_budget(tmp_path):
    folder = RecordFolder(tmp_path, max_bytes=2000, num_processes=2)
    assert not folder.write(1, {"samples.parquet": bytes(600), "histograms.npz": bytes(401)})
    assert names(tmp_path) == []
    assert folder.write(2, {"samples.parquet": bytes(600), "histograms.npz": bytes(400)})
    assert folder.thinning > 100
    assert not folder.write(3, {"samples.parquet": bytes(1)})


def test_what_is_there_counts_as_used_by_all_alike(tmp_path):
    RecordFolder(tmp_path, max_bytes=1000).write(1, {"samples.parquet": bytes(600)})
    folder = RecordFolder(tmp_path, max_bytes=1000, num_processes=2)
    folder.measure()
    assert folder.used_bytes == 300


def test_a_failed_write_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    def fsync(file):
        raise OSError(28, "No space left on device")

    folder = RecordFolder(tmp_path, max_bytes=1000)
    folder.write(1, {"samples.parquet": b"rows"})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        message = error_of(folder.write, 2, {"samples.parquet": b"rows"})
    assert "part-0000002-rank0.parquet" in message
    assert names(tmp_path) == ["samples/part-0000001-rank0.parquet"]


@pytest.mark.parametrize("num_processes", [2, 4])
def test_a_resumed_process_knows_its_own_files(tmp_path, num_processes):
    before = RecordFolder(tmp_path, max_bytes=2000, rank=1, num_processes=2)
    assert before.write(1, {"samples.parquet": bytes(600)})
    assert not before.write(2, {"samples.parquet": bytes(600)})
    RecordFolder(tmp_path, max_bytes=2000, num_processes=2).write(1, {"samples.npz": bytes(200)})
    folder = RecordFolder(tmp_path, max_bytes=2000, rank=1, num_processes=num_processes)
    folder.load_state_dict(before.state_dict())
    folder.measure()
    assert folder.used_bytes == {2: 600, 4: 200}[num_processes]
    assert folder.is_over


def test_more_room_goes_on(tmp_path):
    before = RecordFolder(tmp_path, max_bytes=100)
    before.write(1, {"samples.parquet": bytes(600)})
    folder = RecordFolder(tmp_path, max_bytes=1000)
    folder.load_state_dict(before.state_dict())
    assert not folder.is_over
