"""Curves for other programs, with stand-ins for their packages."""

import json
import sys
from types import SimpleNamespace

import pytest

from imbdet.config import load_config
from imbdet.engine.curves import CurveWriter
from imbdet.engine.loggers import build_loggers, check_loggers
from tests.messages import assert_says, error_of

from detectron2.utils.events import EventStorage, JSONWriter  # isort: skip  (after imbdet)

# Each stand-in writes down its arguments, one line for each call.
WANDB = """
import json, random

def note(**call):
    with open("calls.json", "a") as file:
        file.write(json.dumps(call) + "\\n")

class Run:
    def log(self, scalars, step):
        if "broken" in scalars:
            raise ConnectionError("no route")
        note(scalars=scalars, step=step)
    def finish(self, exit_code):
        note(exit_code=exit_code)

def init(**options):
    if options["project"] == "closed":
        raise RuntimeError("no such project")
    random.random()
    note(**options)
    return Run()
"""
MLFLOW = """
from types import SimpleNamespace
from wandb import note

class MlflowClient:
    def get_experiment_by_name(self, name):
        return None
    def create_experiment(self, name):
        note(experiment=name)
        return "7"
    def create_run(self, experiment, run_name):
        note(project=experiment, name=run_name)
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))
    def log_text(self, run_id, text, file):
        assert "LOGGERS" in text
    def update_run(self, run_id, status):
        note(id=run_id, status=status)
    def log_batch(self, run_id, metrics):
        for key, value, timestamp, step in metrics:
            note(id=run_id, scalars={key: value}, step=step)
    def set_terminated(self, run_id, status):
        note(id=run_id, status=status)
"""
ENTITIES = """
def Metric(*values):
    return values
"""


@pytest.fixture(autouse=True)
def _stand_ins(tmp_path, monkeypatch):
    (tmp_path / "site" / "mlflow").mkdir(parents=True)
    (tmp_path / "site" / "wandb.py").write_text(WANDB)
    (tmp_path / "site" / "mlflow" / "__init__.py").write_text(MLFLOW)
    (tmp_path / "site" / "mlflow" / "entities.py").write_text(ENTITIES)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("wandb", "mlflow", "mlflow.entities"):
        sys.modules.pop(name, None)


def config(folder, *names, **keys):
    opts = ["OUTPUT_DIR", str(folder / "run1"), "LOGGERS.NAMES", str(list(names))]
    return load_config(opts=[*opts, *(str(x) for pair in keys.items() for x in pair)])


def run(folder, cfg, start, end, state=None, names=("total_loss", "bbox/AR@100")):
    """Run iterations of a training, and return the state before the last one."""
    hook = CurveWriter(folder / "metrics.json")
    if state is not None:
        hook.load_state_dict(state)
    with EventStorage(start) as storage:
        hook.trainer = SimpleNamespace(
            storage=storage,
            start_iter=start,
            max_iter=60,
            build_writers=lambda: [
                JSONWriter(str(folder / "metrics.json")),
                *build_loggers(cfg, goes_on=start > 0),
            ],
        )
        hook.before_train()
        for i in range(start, end):
            hook.trainer.iter = storage.iter = i
            for name in names:
                storage.put_scalar(name, i / 2)
            state = hook.state_dict()
            hook.after_step()
        if end == hook.trainer.max_iter:
            hook.trainer.iter = end  # as detectron2, which counts one more
        hook.after_train()
    return state


def calls(folder):
    return [json.loads(line) for line in (folder / "calls.json").read_text().splitlines()]


def test_wandb_has_what_metrics_json_has_and_goes_on(tmp_path):
    cfg = config(tmp_path, "wandb", **{"LOGGERS.PROJECT": "imbalance"})
    state = run(tmp_path, cfg, 0, 45)
    run(tmp_path, cfg, 45, 60, state)
    begun = [call for call in calls(tmp_path) if "project" in call]
    assert [call["project"] for call in begun] == ["imbalance"] * 2
    assert begun[0]["name"] == "run1"
    assert begun[0]["config"]["LOGGERS.PROJECT"] == "imbalance"
    assert begun[0]["id"] == begun[1]["id"]
    assert begun[0]["resume"] == "allow"
    logged = [{**c["scalars"], "iteration": c["step"]} for c in calls(tmp_path) if "step" in c]
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").open()]
    assert [line["iteration"] for line in lines] == [19, 39, 59]
    assert all(line in logged for line in lines)
    ends = [call["exit_code"] for call in calls(tmp_path) if "exit_code" in call]
    assert ends == [1, 0]


def test_mlflow_takes_no_sign_in_names_and_goes_on(tmp_path):
    cfg = config(tmp_path, "mlflow", **{"LOGGERS.RUN": "first"})
    state = run(tmp_path, cfg, 0, 20)
    run(tmp_path, cfg, 20, 60, state)
    found = calls(tmp_path)
    assert found[:2] == [{"experiment": "imbdet"}, {"project": "7", "name": "first"}]
    statuses = [call for call in found if "status" in call]
    assert statuses == [{"id": "r1", "status": x} for x in ("FAILED", "RUNNING", "FINISHED")]
    steps = [(c["step"], *c["scalars"]) for c in found if "step" in c]
    assert sorted(steps) == [(i, n) for i in (19, 39, 59) for n in ("bbox/AR_100", "total_loss")]


def test_a_new_training_begins_a_new_run(tmp_path):
    cfg = config(tmp_path, "wandb")
    run(tmp_path, cfg, 0, 20)
    run(tmp_path, cfg, 0, 20)
    ids = [call["id"] for call in calls(tmp_path) if "id" in call]
    assert len(set(ids)) == 2


def test_what_breaks_ends_no_training(tmp_path, caplog):
    cfg = config(tmp_path, "wandb")
    run(tmp_path, cfg, 0, 60, names=("broken",))
    assert caplog.text.count("takes no more scalars (ConnectionError: no route)") == 1
    assert len((tmp_path / "metrics.json").read_text().splitlines()) == 3


def test_random_numbers_stay(tmp_path):
    import random

    random.seed(1)
    expected = random.random()
    random.seed(1)
    list(build_loggers(config(tmp_path, "wandb"), goes_on=False))
    assert random.random() == expected


def test_a_damaged_list_of_runs_is_told(tmp_path, caplog):
    cfg = config(tmp_path, "wandb")
    (tmp_path / "run1").mkdir()
    (tmp_path / "run1" / "loggers.json").write_text("[")
    list(build_loggers(cfg, goes_on=True))
    assert "loggers.json' is damaged" in caplog.text


def test_bad_names_are_one_sentence(tmp_path):
    message = error_of(check_loggers, config(tmp_path, "wandbd"))
    assert_says(message, "LOGGERS.NAMES has 'wandbd'", "Did you mean 'wandb'?")
    check_loggers(config(tmp_path, "wandb", "mlflow"))
    (tmp_path / "site" / "wandb.py").unlink()
    (tmp_path / "site" / "wandb").mkdir()  # W&B makes this folder where it runs
    message = error_of(check_loggers, config(tmp_path, "wandb"))
    assert_says(message, "not installed", "pip install 'imbdet[wandb]'")


def test_a_program_that_does_not_begin_is_one_sentence(tmp_path):
    cfg = config(tmp_path, "wandb", **{"LOGGERS.PROJECT": "closed"})
    message = error_of(list, build_loggers(cfg, goes_on=False))
    assert_says(message, "'wandb' of LOGGERS.NAMES cannot begin", "no such project")
