"""The program as its users call it: trains, evaluates, resumes, and answers wrong input."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.engine import DefaultTrainer, TrainerBase

import imbdet.cli
import train_net
from tests.narrow import NARROW

pytestmark = pytest.mark.usefixtures("restored_loggers", "own_datasets")

ROOT = Path(train_net.__file__).parent
CONFIGS = ROOT / "configs"
TINY = {
    **NARROW,
    "MODEL.FPN.OUT_CHANNELS": 32,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 32,
    "DATASETS.SHAPES.NUM_TRAIN": 12,
    "DATASETS.SHAPES.NUM_VAL": 6,
    "DATASETS.SHAPES.IMAGE_SIZE": 96,
    "DATASETS.SHAPES.OBJECT_SIZE": "(8, 32)",
    "INPUT.MIN_SIZE_TRAIN": "(96,)",
    "INPUT.MIN_SIZE_TEST": 96,
    "SOLVER.MAX_ITER": 4,
    "SOLVER.STEPS": "()",
    "SOLVER.IMS_PER_BATCH": 2,
    "DATALOADER.NUM_WORKERS": 0,
    "TEST.NUM_PICTURES": 2,
}


@pytest.fixture(autouse=True)
def _heard_ctrl_c():
    # The suite may run in the background, where shells ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def arguments(name, output_dir, *flags, **overrides):
    overrides = {**TINY, "OUTPUT_DIR": output_dir, **overrides}
    pairs = [str(x) for pair in overrides.items() for x in pair]
    return ["--config-file", str(CONFIGS / "quick_start" / f"{name}.yaml"), *flags, *pairs]


def read_metrics(output_dir):
    return json.loads((output_dir / "inference" / "shapes_val" / "metrics.json").read_text())


@pytest.mark.parametrize("name", ["retinanet", "faster_rcnn"])
def test_trains_evaluates_and_leaves_its_results(name, tmp_path):
    assert train_net.main(arguments(name, tmp_path)) == 0
    folder = tmp_path / "inference" / "shapes_val"
    metrics = read_metrics(tmp_path)
    assert isinstance(json.loads((folder / "coco_instances_results.json").read_text()), list)
    assert len(list((folder / "pictures").glob("*.png"))) == 2
    assert (tmp_path / "config.yaml").exists()
    assert "AP50" in (tmp_path / "log.txt").read_text()
    state = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert ("loss_normalizer" in state["model"]) == (name == "retinanet")

    weights = str(tmp_path / "model_final.pth")
    other = tmp_path / "evaluated"
    args = arguments(name, other, "--eval-only", **{"MODEL.WEIGHTS": weights})
    assert train_net.main(args) == 0
    assert read_metrics(other) == metrics


def test_a_finished_training_is_only_evaluated_again(tmp_path):
    assert train_net.main(arguments("retinanet", tmp_path)) == 0
    metrics = read_metrics(tmp_path)
    assert train_net.main(arguments("retinanet", tmp_path, "--resume")) == 0
    text = (tmp_path / "log.txt").read_text()
    assert "is done, only what follows is done again" in text
    assert "eta: -" not in text
    assert read_metrics(tmp_path) == metrics
    lines = map(json.loads, (tmp_path / "metrics.json").read_text().splitlines())
    evaluated = {line["iteration"] for line in lines if "bbox/AP" in line}
    assert len(evaluated) == 1  # the same iteration both times


def test_stops_between_iterations_and_resumes(tmp_path, monkeypatch, capsys):
    from imbdet.engine import Trainer

    run_step = Trainer.run_step

    def run_step_and_press_ctrl_c(self):
        run_step(self)
        if self.iter == 1:
            for _ in range(2):  # from the terminal, and from who started it
                os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_step", run_step_and_press_ctrl_c)
        assert train_net.main(arguments("retinanet", tmp_path)) == 130
    assert "With --resume, the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"
    state = torch.load(tmp_path / "model_0000001.pth", weights_only=True)["trainer"]
    # Two steps are done, and everything that a step changes knows.
    (scheduler,) = (hook for hook in state["hooks"].values() if "last_epoch" in hook)
    assert scheduler["last_epoch"] == 2
    moments = state["_trainer"]["optimizer"]["state"].values()
    assert {float(moment["step"]) for moment in moments} == {2}

    assert train_net.main(arguments("retinanet", tmp_path)) == 2
    assert "already holds a run" in capsys.readouterr().err

    iterations = []

    def run_step_and_note(self):
        run_step(self)
        iterations.append(self.iter)

    monkeypatch.setattr(Trainer, "run_step", run_step_and_note)
    assert train_net.main(arguments("retinanet", tmp_path, "--resume")) == 0
    assert iterations == [2, 3]
    assert (tmp_path / "model_final.pth").exists()


def test_a_training_that_pauses_is_the_same_in_the_end(tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    keys = {"SOLVER.STEPS": "(3,)", "SOLVER.WARMUP_ITERS": 1}
    assert train_net.main(arguments("retinanet", whole, **keys, SEED=1)) == 0
    for until in (2, 3, 4):
        flags = ["--resume", "--until", str(until)]
        assert train_net.main(arguments("retinanet", parts, *flags, **keys, SEED=1)) == 0
        assert read_metrics(parts)["num_images"] == 6
        (parts / "inference" / "shapes_val" / "metrics.json").rename(parts / f"{until}.json")
    states = [torch.load(f / "model_final.pth", weights_only=True)["model"] for f in (whole, parts)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert train_net.main(arguments("retinanet", whole, "--resume", "--until", "5", **keys)) == 2
    assert "--until is 5: it must be from 1 to SOLVER.MAX_ITER, 4" in capsys.readouterr().err


def test_a_training_of_fewer_processes_than_its_reference_is_longer(tmp_path, capsys):
    keys = {"SOLVER.REFERENCE_WORLD_SIZE": 2, "SOLVER.IMS_PER_BATCH": 4, "SOLVER.MAX_ITER": 1}
    keys |= {"DATASETS.TEST": "()"}
    assert train_net.main(arguments("retinanet", tmp_path, "--until", "3", **keys)) == 2
    assert "--until is 3: it must be from 1 to SOLVER.MAX_ITER, 2" in capsys.readouterr().err
    for flags, end in ((["--until", "1"], 1), (["--resume"], 2)):
        assert train_net.main(arguments("retinanet", tmp_path, *flags, **keys)) == 0
        state = torch.load(tmp_path / "model_final.pth", weights_only=True)
        assert state["iteration"] == end - 1


def test_a_loss_for_long_tails_goes_on_with_its_frequencies_and_draws(tmp_path, monkeypatch):
    keys = {"MODEL.CLS_LOSS.NAME": "bags", "MODEL.CLS_LOSS.BAGS.BETA": 0.5, "SEED": 1}
    keys |= {"MODEL.CLS_LOSS.BAGS.BOUNDS": "(5, 20)", "SOLVER.CHECKPOINT_PERIOD": 2}
    keys |= {"DATASETS.TEST": "()"}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train_net.main(arguments("faster_rcnn", whole, **keys)) == 0
    shutil.copytree(whole, parts)
    for name in ("model_final.pth", "model_0000003.pth"):
        (parts / name).unlink()
    (parts / "last_checkpoint").write_text("model_0000001.pth")
    counted = []
    monkeypatch.setattr(
        "imbdet.engine.trainer.give_class_frequencies",
        lambda model, frequencies: counted.append(frequencies),
    )
    assert train_net.main(arguments("faster_rcnn", parts, "--resume", **keys)) == 0
    states = [torch.load(f / "model_final.pth", weights_only=True)["model"] for f in (whole, parts)]
    assert all(value.equal(states[1][name]) for name, value in states[0].items())
    prefix = "roi_heads.box_predictor.criterion.cls_loss."
    assert (
        states[0][f"{prefix}loss.frequencies.instances"].tolist() == counted[0].instances.tolist()
    )
    assert states[0][f"{prefix}draws.count"] == 4


def test_resuming_a_finished_run_evaluates_again(tmp_path):
    args = arguments("retinanet", tmp_path, "--resume", **{"SOLVER.MAX_ITER": 1})
    assert train_net.main(args) == 0
    (tmp_path / "inference" / "shapes_val" / "metrics.json").unlink()
    assert train_net.main(args) == 0
    assert read_metrics(tmp_path)


def test_steps_behind_the_end_are_not_reached(tmp_path, capsys):
    keys = {"SOLVER.MAX_ITER": 2, "SOLVER.STEPS": "(1, 2, 3)", "SOLVER.WARMUP_ITERS": 0}
    keys |= {"DATASETS.TEST": "()"}
    assert train_net.main(arguments("retinanet", tmp_path, **keys)) == 0
    out = capsys.readouterr().out
    assert "ends at SOLVER.MAX_ITER 2, before SOLVER.STEPS 2, 3." in out
    assert "WARNING" not in out
    last_line = (tmp_path / "metrics.json").read_text().splitlines()[-1]
    assert json.loads(last_line)["lr"] == pytest.approx(1e-4)  # a tenth of the base's


def test_a_run_is_not_shortened(tmp_path, capsys):
    keys = {"SOLVER.MAX_ITER": 2, "SOLVER.WARMUP_ITERS": 1, "DATASETS.TEST": "()"}
    assert train_net.main(arguments("retinanet", tmp_path, **keys)) == 0
    kept = (tmp_path / "config.yaml").read_text()
    args = arguments("retinanet", tmp_path, "--resume", **keys | {"SOLVER.MAX_ITER": 1})
    assert train_net.main(args) == 2
    message = f"The run in '{tmp_path}' has done 2 iterations, but is to end after 1."
    assert message in capsys.readouterr().err
    assert (tmp_path / "config.yaml").read_text() == kept


def test_a_resumed_run_follows_its_config(tmp_path, capsys, monkeypatch):
    # This is detectron2's main branch, while v0.6 leaves the optimizer alone.
    def load_state_dict(trainer, state):
        TrainerBase.load_state_dict(trainer, state)
        trainer._trainer.load_state_dict(state["_trainer"])

    monkeypatch.setattr(DefaultTrainer, "load_state_dict", load_state_dict, raising=False)
    keys = {"SOLVER.MAX_ITER": 2, "SOLVER.WARMUP_ITERS": 0, "DATASETS.TEST": "()"}
    assert train_net.main(arguments("retinanet", tmp_path, **keys)) == 0
    keys |= {"SOLVER.MAX_ITER": 3, "SOLVER.BASE_LR": 7e-05, "SOLVER.WEIGHT_DECAY": 0.5}
    assert train_net.main(arguments("retinanet", tmp_path, "--resume", **keys)) == 0
    out = capsys.readouterr().out
    (warning,) = (line for line in out.splitlines() if "goes on with another config" in line)
    assert "SOLVER.BASE_LR was 0.001 and is 7e-05" in warning
    assert warning.count(" was ") == 3  # all that differs
    last_line = (tmp_path / "metrics.json").read_text().splitlines()[-1]
    assert json.loads(last_line)["lr"] == 7e-05
    state = torch.load(tmp_path / "model_final.pth", weights_only=True)["trainer"]
    assert state["_trainer"]["optimizer"]["param_groups"][0]["weight_decay"] == 0.5

    kept = [(tmp_path / name).read_text() for name in ("config.yaml", "run.json")]
    for bad, words in (
        ({"SOLVER.OPTIMIZER": "SGD"}, "its optimizer is AdamW, that of the config another"),
        ({"MODEL.BACKBONE.FREEZE_AT": 3}, "the config trains other parameters"),
        ({"MODEL.RETINANET.NUM_CONVS": 3}, "it does not fit the model"),
    ):
        args = arguments("retinanet", tmp_path, "--resume", **keys, **bad)
        assert train_net.main(args) == 2
        assert words in capsys.readouterr().err
    # A refused command leaves the run as it was.
    assert [(tmp_path / name).read_text() for name in ("config.yaml", "run.json")] == kept


# One mistake of each kind, in process; the details are tested beside the code that finds them.
BAD_INPUT = {
    "config file missing": (["--config-file", "nowhere.yaml"], "nowhere.yaml"),
    "unknown key": (["MODEL.CLS_LOS.NAME", "focal"], "MODEL.CLS_LOSS.NAME"),
    "wrong type": (["SOLVER.MAX_ITER", "many"], "SOLVER.MAX_ITER"),
    "unknown loss": (["MODEL.CLS_LOSS.NAME", "focl"], "Did you mean 'focal'"),
    "unread key": (["MODEL.RPN_LOSS.CLS.NAME", "focal"], "only ImbRPN would read it"),
    "detectron2's own key": (["MODEL.CLS_LOSS.FOCAL.GAMMA", "1.5"], "FOCAL_LOSS_GAMMA"),
    "mixed precision on the CPU": (["SOLVER.AMP.ENABLED", "True"], "needs a GPU"),
    "precomputed proposals": (["MODEL.LOAD_PROPOSALS", "True"], "takes no proposals"),
    "augmented tests": (["TEST.AUG.ENABLED", "True"], "of two-stage detectors alone"),
    "unknown sampler": (["MODEL.SAMPLER.POSITIVE.NAME", "al"], "Did you mean 'all'"),
    "unknown optimizer": (["SOLVER.OPTIMIZER", "Adam"], "Did you mean 'AdamW'"),
    "unknown data set": (["DATASETS.TRAIN", "('shapes_trian',)"], "shapes_train"),
    "too few classes": (["MODEL.RETINANET.NUM_CLASSES", "2"], "MODEL.RETINANET.NUM_CLASSES"),
    "no weights": (["MODEL.WEIGHTS", "nowhere.pth"], "nowhere.pth"),
    "output is a file": (["OUTPUT_DIR", __file__], "cannot be written to"),
    "bad option of shapes": (["DATASETS.SHAPES.IMAGE_SIZE", "-1"], "DATASETS.SHAPES.IMAGE_SIZE"),
}


@pytest.mark.parametrize(("bad", "message"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_one_clear_error(bad, message, tmp_path, capsys):
    args = arguments("retinanet", tmp_path / "output")
    # The config file of `bad`, given later, wins over ours; overrides go to the end.
    args = [*bad, *args[2:]] if bad[0] == "--config-file" else [*args, *bad]
    assert train_net.main(args) == 2
    out, error = capsys.readouterr()
    assert "Traceback" not in out
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error
    assert error.count("\n") == 1


def test_missing_test_data_are_told_before_the_training(tmp_path, capsys):
    args = arguments("retinanet", tmp_path, **{"DATASETS.TEST": "('coco_2017_val',)"})
    assert train_net.main(args) == 2
    assert "There is no annotation file" in capsys.readouterr().err
    assert not (tmp_path / "last_checkpoint").exists()


def test_evaluates_once_more_with_augmented_images(tmp_path):
    aug = {"TEST.AUG.ENABLED": True, "TEST.AUG.MIN_SIZES": "(64, 96)", "TEST.NUM_PICTURES": 0}
    assert train_net.main(arguments("faster_rcnn", tmp_path, **aug)) == 0
    folder = tmp_path / "inference_TTA" / "shapes_val"
    assert (folder / "metrics.json").exists()
    logged = (tmp_path / "metrics.json").read_text().splitlines()[-1]
    assert {"bbox/AP", "bbox_TTA/AP"} <= json.loads(logged).keys()

    other = tmp_path / "evaluated"
    weights = {"MODEL.WEIGHTS": str(tmp_path / "model_final.pth")}
    assert train_net.main(arguments("faster_rcnn", other, "--eval-only", **aug, **weights)) == 0
    again = other / "inference_TTA" / "shapes_val" / "metrics.json"
    assert again.read_text() == (folder / "metrics.json").read_text()


def test_trains_on_precomputed_proposals(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    args = arguments("faster_rcnn", tmp_path / "made", **{"SOLVER.MAX_ITER": 1})
    assert train_net.main(args) == 0  # this generates the images
    (folder,) = tmp_path.glob("shapes-*/annotations")
    overrides = {
        "MODEL.LOAD_PROPOSALS": True,
        "MODEL.PROPOSAL_GENERATOR.NAME": "PrecomputedProposals",
        "DATASETS.PROPOSAL_FILES_TRAIN": write_proposals(folder / "train.json"),
        "DATASETS.PROPOSAL_FILES_TEST": write_proposals(folder / "val.json"),
    }
    run = tmp_path / "run"
    assert train_net.main(arguments("faster_rcnn", run, **overrides)) == 0
    assert "loss_rpn_cls" not in (run / "metrics.json").read_text()
    args = ["--weights", str(run / "model_final.pth"), "--output", str(run / "analysis")]
    args += ["--config-file", str(run / "config.yaml"), "--num-images", "2"]
    assert imbdet.cli.main(["analyze", *args]) == 0
    assert "boosting" in (run / "analysis" / "summary.txt").read_text()


def write_proposals(annotations):
    """Write proposals, the annotated boxes and whole images; return the file as a key's value."""
    content, path = json.loads(annotations.read_text()), annotations.with_suffix(".pkl")
    ids = [image["id"] for image in content["images"]]
    boxes = {i: [[0, 0, 96, 96]] for i in ids}
    for note in content["annotations"]:
        left, top, width, height = note["bbox"]
        boxes[note["image_id"]].append([left, top, left + width, top + height])
    columns = {
        "ids": ids,
        "boxes": [np.array(boxes[i], dtype=np.float32) for i in ids],
        "objectness_logits": [np.zeros(len(boxes[i]), dtype=np.float32) for i in ids],
    }
    path.write_bytes(pickle.dumps(columns))
    return repr((str(path),))


def test_nothing_to_evaluate_on_is_said(tmp_path, capsys):
    args = arguments("retinanet", tmp_path, "--eval-only", **{"DATASETS.TEST": "()"})
    assert train_net.main(args) == 2
    assert "DATASETS.TEST is empty" in capsys.readouterr().err


def test_missing_gpus_are_said(capsys):
    assert train_net.main(["--num-gpus", "99"]) == 2
    assert "--num-gpus is 99" in capsys.readouterr().err


def test_a_full_disk_is_said(tmp_path, monkeypatch, capsys):
    import errno

    from imbdet.engine import Trainer

    def run_step(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "metrics.json"))

    monkeypatch.setattr(Trainer, "run_step", run_step)
    assert train_net.main(arguments("retinanet", tmp_path)) == 2
    out, error = capsys.readouterr()
    assert "No space left on device" in error
    assert "Traceback" not in out + error
    assert "Traceback" in (tmp_path / "log.txt").read_text()


def test_a_signal_in_the_last_iteration_leaves_the_evaluation_for_later(tmp_path, monkeypatch):
    from imbdet.engine import Trainer

    run_step = Trainer.run_step

    def run_step_and_press_ctrl_c(self):
        run_step(self)
        os.kill(os.getpid(), signal.SIGINT)

    keys = {"SOLVER.MAX_ITER": 1}
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_step", run_step_and_press_ctrl_c)
        assert train_net.main(arguments("retinanet", tmp_path, **keys)) == 130
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    assert not (tmp_path / "inference").exists()
    assert train_net.main(arguments("retinanet", tmp_path, "--resume", **keys)) == 0
    assert read_metrics(tmp_path)


def press_ctrl_c(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError("still here")


@pytest.mark.parametrize(
    "moment",
    [
        "imbdet.data.shapes.generation.draw_image",
        "imbdet.engine.training.check_test_sets",
        "imbdet.evaluation.protocols.compare",
    ],
)
def test_a_signal_stops_at_once_where_nothing_is_lost(moment, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    with monkeypatch.context() as patch:
        patch.setattr(moment, press_ctrl_c)
        keys = {"SOLVER.MAX_ITER": 1}
        assert train_net.main(arguments("retinanet", tmp_path / "output", **keys)) == 130
    assert capsys.readouterr().err.endswith("Stopped.\n")
    assert not list(tmp_path.rglob(".shapes*")) + list(tmp_path.rglob(".*.tmp"))


def test_an_ignored_signal_stays_ignored(tmp_path, monkeypatch):
    from imbdet.engine import Trainer

    monkeypatch.setattr(Trainer, "run_step", lambda self: os.kill(os.getpid(), signal.SIGINT))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert train_net.main(arguments("retinanet", tmp_path)) == 0


def test_a_repeated_signal_stops_at_once(tmp_path, monkeypatch):
    from imbdet.engine import Trainer, interrupt

    def press_ctrl_c_twice(self):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("still here")

    monkeypatch.setattr(Trainer, "run_step", press_ctrl_c_twice)
    monkeypatch.setattr(interrupt, "ECHO_TIME", 0)
    assert train_net.main(arguments("retinanet", tmp_path)) == 130
    assert not (tmp_path / "last_checkpoint").exists()


def run_program(*args, **environment):
    return subprocess.run(
        [sys.executable, ROOT / "train_net.py", *args],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=ROOT,
    )


def test_help_needs_neither_torch_nor_detectron2(tmp_path):
    for name in ("torch", "detectron2"):
        (tmp_path / f"{name}.py").write_text("raise ImportError")
    result = run_program("--help", PYTHONPATH=str(tmp_path))
    assert result.returncode == 0
    assert "--config-file" in result.stdout


def test_missing_detectron2_is_one_sentence(tmp_path):
    (tmp_path / "detectron2").mkdir()
    (tmp_path / "detectron2" / "__init__.py").touch()
    result = run_program("--config-file", "x.yaml", PYTHONPATH=str(tmp_path))
    assert result.returncode == 2
    assert "only half installed" in result.stderr
    assert "Traceback" not in result.stderr


def test_unknown_key_as_a_real_program():
    result = run_program("SOLVER.MAX_ITERS", "3")
    assert result.returncode == 2
    assert "SOLVER.MAX_ITER" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Warning" not in result.stderr


def test_a_worker_process_that_starts_afresh_finds_detectron2():
    # It runs the file of its parent's program, then unpickles a class of detectron2.
    code = (
        "import multiprocessing, sys, imbdet.compat\n"
        "from detectron2.data import DatasetFromList\n"
        "sys.modules['__main__'].__file__ = 'train_net.py'\n"
        "context = multiprocessing.get_context('spawn')\n"
        "worker = context.Process(target=DatasetFromList, args=([1],))\n"
        "worker.start()\n"
        "worker.join()\n"
        "raise SystemExit(worker.exitcode)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr
