import logging

from imbdet.engine import progress
from imbdet.engine.progress import ProgressBar, with_progress_lines


def test_a_bar_ends_though_another_hook_failed_before_it_began():
    # detectron2 calls it also after an error, which an error here would hide.
    ProgressBar().after_train()


def test_a_log_is_told_now_and_then(monkeypatch, caplog):
    times = iter([0, 6, 12, 18, 24])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    monkeypatch.setattr(progress, "at_a_terminal", lambda: False)
    with caplog.at_level(logging.INFO, logger=progress.__name__):
        assert list(with_progress_lines("abc", "resampling")) == ["a", "b", "c"]
    assert [record.getMessage() for record in caplog.records] == ["resampling: 1 of 3"]
