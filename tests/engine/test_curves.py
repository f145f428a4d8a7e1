"""Curves after a checkpoint; test_faults.py shows that they are those of an unbroken run."""

from types import SimpleNamespace

import pytest

from imbdet.engine.curves import CurveWriter

from detectron2.utils.events import EventStorage, EventWriter, JSONWriter  # isort: skip  (after imbdet)


class Trainer:
    """The part of a trainer that the hook uses."""

    def __init__(self, file, start, storage):
        self.file, self.start_iter, self.storage = file, start, storage
        self.iter, self.max_iter = start, 100

    def build_writers(self):
        return [JSONWriter(str(self.file))]


def run(file, start, end, state=None, *, killed=False):
    """Run iterations that log their number, and return the state after the last one."""
    hook = CurveWriter(file)
    if state is not None:
        hook.load_state_dict(state)
    with EventStorage(start) as storage:
        trainer = hook.trainer = Trainer(file, start, storage)
        hook.before_train()
        for i in range(start, end):
            trainer.iter = storage.iter = i
            storage.put_scalar("loss", i**2)
            if i == 3:
                storage.put_scalar("AP", 5.0, smoothing_hint=False)
            state = hook.state_dict()
            hook.after_step()
        if not killed:
            hook.after_train()
    return state


def test_a_resumed_run_writes_the_same_lines(tmp_path):
    run(tmp_path / "whole.json", 0, 50)
    file = tmp_path / "resumed.json"
    state = run(file, 0, 28, killed=True)
    run(file, 28, 45, state, killed=True)
    with open(file, "a") as lines:
        lines.write('{"iteration": 44, "lo')
    run(file, 28, 50, state)
    assert file.read_text() == (tmp_path / "whole.json").read_text()
    assert file.read_text().count("AP") == 1


def test_of_scalars_that_are_not_smoothed_the_last_value_is_kept(tmp_path):
    """The scalars of a thousand classes would fill checkpoints."""
    hook = CurveWriter(tmp_path / "metrics.json")
    with EventStorage() as storage:
        hook.trainer = Trainer(tmp_path / "metrics.json", 0, storage)
        hook.before_train()
        for i in range(30):
            storage.iter = i
            storage.put_scalar("loss", i)
            storage.put_scalar("AP-zebra", i, smoothing_hint=False)
        scalars = hook.state_dict()["scalars"]
    assert scalars["AP-zebra"] == (False, [(29, 29)])
    assert scalars["loss"] == (True, [(i, i) for i in range(10, 30)])


@pytest.mark.parametrize(("start", "num_left"), [(0, 0), (20, 2), (25, 2), (40, 3)])
def test_without_a_state_lines_go_by_the_start(tmp_path, start, num_left):
    file = tmp_path / "metrics.json"
    run(file, 0, 60, killed=True)
    run(file, start, start, killed=True)
    assert len(file.read_text().splitlines()) == num_left


def test_a_writer_that_fails_leaves_the_others_closed(tmp_path):
    closed = []

    class Writer(EventWriter):
        def __init__(self, name, error):
            self.name, self.error = name, error

        def write(self):
            if self.error:
                raise self.error

        def close(self):
            closed.append(self.name)

    hook = CurveWriter(tmp_path / "metrics.json")
    hook.trainer = SimpleNamespace(iter=9, max_iter=9)
    hook._writers = [Writer("full", OSError("No space left")), Writer("other", None)]
    with pytest.raises(OSError, match="No space left"):
        hook.after_train()
    assert closed == ["full", "other"]
