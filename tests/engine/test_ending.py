"""Trainings end without loss, delay or wrong messages, whatever fails at any moment."""

import os
import signal
import time

import pyarrow.parquet as pq
import pytest
import torch

import train_net
from imbdet.engine import checkpoint_writer
from imbdet.engine.checkpoint_file import write_sealed
from imbdet.engine.ledger_keeper import LedgerKeeper
from imbdet.engine.recorder import SampleRecorder
from imbdet.engine.trainer import Trainer
from imbdet.engine.training_evaluation import TrainingEvaluation
from imbdet.errors import UserError
from imbdet.records.folder import RecordFolder
from tests.engine.jobs import arguments
from tests.messages import assert_says

# isort: split
from detectron2.utils import comm
from detectron2.utils.events import TensorboardXWriter

pytestmark = pytest.mark.usefixtures("restored_loggers", "own_datasets")

KEYS = {
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.RETINANET.NUM_CONVS": 1,
    "SOLVER.MAX_ITER": 2,
    "SOLVER.IMS_PER_BATCH": 2,
    "SEED": 1,
}


def train(folder, *flags, **keys):
    return train_net.main(arguments(folder, *flags, **{**KEYS, **keys}))


def raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.fixture
def evaluated(monkeypatch):
    """Evaluations give nothing; the list has one entry for each."""
    evaluated = []

    def evaluate(self):
        evaluated.append("bbox")
        return {}

    monkeypatch.setattr(TrainingEvaluation, "evaluate", evaluate)
    return evaluated


@pytest.fixture
def closed(monkeypatch):
    """The list has one entry for each writer for TensorBoard that was closed."""
    closed = []
    close = TensorboardXWriter.close

    def note(self):
        close(self)
        closed.append(True)

    monkeypatch.setattr(TensorboardXWriter, "close", note)
    return closed


def fail_in(monkeypatch, iteration, error, rank=0):
    run_step = Trainer.run_step

    def step(self):
        if self.iter == iteration and comm.get_rank() == rank:
            raise error
        run_step(self)

    monkeypatch.setattr(Trainer, "run_step", step)


def test_a_failure_in_the_last_iteration_is_not_evaluated(
    evaluated, closed, tmp_path, monkeypatch, capsys
):
    fail_in(monkeypatch, 1, UserError("The last one failed."))
    assert train(tmp_path) == 2
    assert capsys.readouterr().err == "error: The last one failed.\n"
    assert evaluated == []
    assert closed == [True]


def test_a_failure_in_the_last_iteration_of_one_process_ends_all(tmp_path, monkeypatch, capfd):
    fail_in(monkeypatch, 1, UserError("The last one failed."), rank=1)
    begin = time.monotonic()
    flags = ("--num-processes", "2", "--timeout", "600")
    assert train(tmp_path, *flags, **{"SOLVER.IMS_PER_BATCH": 4}) == 2
    assert time.monotonic() - begin < 300
    assert capfd.readouterr().err == "error: The last one failed.\n"


def test_a_failure_in_the_last_evaluation_loses_nothing(closed, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(TrainingEvaluation, "evaluate", raising(UserError("It cannot be judged.")))
    assert train(tmp_path) == 2
    assert capsys.readouterr().err == "error: It cannot be judged.\n"
    assert closed == [True]
    assert (tmp_path / "model_final.pth").exists()


def test_a_signal_in_the_last_evaluation_loses_nothing(closed, tmp_path, monkeypatch):
    def press(self):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(TrainingEvaluation, "evaluate", press)
    assert train(tmp_path) == 143
    assert closed == [True]


def test_the_first_failure_is_the_one_that_is_told(closed, tmp_path, monkeypatch, capsys):
    for hook in (SampleRecorder, LedgerKeeper):
        full = UserError(f"The file of {hook.__name__} cannot be written.")
        monkeypatch.setattr(hook, "after_train", raising(full))
    fail_in(monkeypatch, 1, UserError("The last one failed."))
    assert train(tmp_path, **{"RECORD.PERIOD": 1, "LEDGER.ENABLED": True}) == 2
    said = capsys.readouterr()
    assert said.err == "error: The last one failed.\n"
    words = "ERROR: This failed as well, at the end of the training: The file of"
    assert_says(said.out, f"{words} SampleRecorder cannot", f"{words} LedgerKeeper cannot")
    assert closed == [True]


def test_after_a_failure_at_the_end_nothing_is_evaluated(
    evaluated, closed, tmp_path, monkeypatch, capsys
):
    def write(path, content):
        if path.stem == "model_final":
            raise UserError(f"'{path.name}' cannot be written.")
        write_sealed(path, content)

    monkeypatch.setattr(checkpoint_writer, "write_sealed", write)
    assert train(tmp_path) == 2
    assert capsys.readouterr().err == "error: 'model_final.pth' cannot be written.\n"
    assert evaluated == []
    assert closed == [True]


def test_a_training_that_is_over_and_cannot_begin_again_changes_nothing(
    evaluated, tmp_path, monkeypatch, capsys
):
    keys = {"MODEL_EMA.ENABLED": True}
    assert train(tmp_path, **keys) == 0
    evaluated.clear()
    file = tmp_path / "model_final_ema.pth"
    file.unlink()
    monkeypatch.setattr(SampleRecorder, "before_train", raising(UserError("No records.")))
    assert train(tmp_path, "--resume", **keys, **{"RECORD.PERIOD": 1}) == 2
    assert capsys.readouterr().err == "error: No records.\n"
    assert evaluated == []
    assert not file.exists()


def test_a_ledger_that_cannot_be_gone_on_with_stays(evaluated, tmp_path, monkeypatch, capsys):
    keys = {"LEDGER.ENABLED": True}
    assert train(tmp_path, **keys) == 0
    file = tmp_path / "ledger" / "objects.parquet"
    before = pq.read_table(file)
    final = torch.load(tmp_path / "model_final.pth", weights_only=True)
    final["trainer"]["hooks"]["LedgerKeeper"]["ledger"]["objects"] = {}
    torch.save(final, tmp_path / "model_final.pth")
    assert train(tmp_path, "--resume", **keys, **{"SOLVER.MAX_ITER": 3}) == 2
    assert_says(capsys.readouterr().err, "state of the ledger is not as a training writes it")
    assert pq.read_table(file).equals(before)


def test_records_that_could_not_be_written_are_not_written_by_halves(
    evaluated, tmp_path, monkeypatch, capsys
):
    write = RecordFolder.write
    full = iter([True])

    def once_full(self, iteration, contents):
        if next(full, False):
            raise UserError("No space left on device.")
        return write(self, iteration, contents)

    monkeypatch.setattr(RecordFolder, "write", once_full)
    assert train(tmp_path, **{"RECORD.PERIOD": 1}) == 2
    assert capsys.readouterr().err == "error: No space left on device.\n"
    assert list((tmp_path / "records").rglob("part-*")) == []


LEFT = {
    "best.json": "{}",
    "loggers.json": "{}",
    "metrics.json": '{"iteration": 90}',
    "ledger/objects.parquet": "",
    "records/samples/part-0000099-rank0.parquet": "",
    "inference/old_val/metrics.json": "{}",
    "inference_EMA/shapes_val/pictures/1.png": "",
}
STAYS = ("model_best.pth", "notes.txt", "clean/cleaned.json", "inference/old_val/notes.txt")


def test_what_another_training_left_is_none_of_one_that_begins(evaluated, tmp_path):
    for name, text in (*LEFT.items(), *((name, "") for name in STAYS)):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    drafts = (".model_final.pth-12345678.tmp", "ledger/.objects.parquet-12345678.tmp")
    for name in drafts:
        (tmp_path / name).touch()
    assert train(tmp_path) == 0
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert there & {*LEFT, *drafts} == {"metrics.json"}
    assert '"iteration": 90' not in (tmp_path / "metrics.json").read_text()
    assert set(STAYS) <= there


def test_a_training_that_goes_on_keeps_its_own(evaluated, tmp_path):
    keys = {"LEDGER.ENABLED": True, "RECORD.PERIOD": 1}
    assert train(tmp_path, **keys) == 0
    draft = tmp_path / ".model_final.pth-12345678.tmp"
    draft.touch()
    off = {"LEDGER.ENABLED": False, "RECORD.PERIOD": 0, "SOLVER.MAX_ITER": 3}
    assert train(tmp_path, "--resume", **off) == 0
    assert (tmp_path / "ledger" / "objects.parquet").exists()
    assert list((tmp_path / "records" / "samples").glob("part-0000001-*"))
    assert not draft.exists()
