"""The program ``imbdet`` as its users call it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import imbdet.cli

pytestmark = pytest.mark.usefixtures("restored_loggers")

ROOT = Path(imbdet.__file__).parents[1]
CONFIG = str(ROOT / "configs" / "quick_start" / "faster_rcnn.yaml")


@pytest.fixture(autouse=True)
def _own_datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))


def run_program(*args, **environment):
    return subprocess.run(
        [sys.executable, "-m", "imbdet.cli", *args],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=ROOT,
    )


def test_help_needs_neither_torch_nor_detectron2(tmp_path):
    for name in ("torch", "detectron2", "matplotlib", "pyarrow", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise ImportError")
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    assert "analyze" in run_program("--help", PYTHONPATH=path).stdout
    assert "--weights" in run_program("analyze", "--help", PYTHONPATH=path).stdout
    assert "baseline" in run_program("compare", "--help", PYTHONPATH=path).stdout
    assert "report.html" in run_program("report", "--help", PYTHONPATH=path).stdout
    assert "such as MODEL" in run_program("config", "explain", "--help", PYTHONPATH=path).stdout


def test_the_version_is_said():
    assert run_program("--version").stdout == f"imbdet {imbdet.__version__}\n"


def test_the_help_has_the_exit_statuses_of_the_page(capsys):
    with pytest.raises(SystemExit, match="0"):
        imbdet.cli.main(["--help"])
    description = capsys.readouterr().out.partition("positional arguments:")[0]
    assert "`" not in description
    table = (ROOT / "docs" / "command_line.md").read_text().partition("| exit status |")[2]
    statuses = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    listed = {number for cell in statuses for number in cell.split(", ")}
    assert set(re.findall(r"\b\d+\b", description)) == listed


def test_a_shell_completes_commands(tmp_path):
    (tmp_path / "completion.sh").write_text(run_program("--print-completion", "bash").stdout)
    script = "source completion.sh; COMP_WORDS=(imbdet config ch); COMP_CWORD=2; "
    script += "_shtab_imbdet; echo ${COMPREPLY[@]}"
    result = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert result.stdout == "check\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["analize"], "there is no 'analize'. Did you mean 'analyze'?"),
        (["--verison"], "there is no --verison. Did you mean '--version'?"),
        (["config", "expain"], "Did you mean 'explain'?"),
        (["analyze", "--ouput=x"], "there is no --ouput. Did you mean '--output'"),
        (["train", "--num-gpu", "2"], "Did you mean '--num-gpus'"),
        (["analyze"], "--output"),
        (["compare", "x", "y"], "--output"),
        (["compare", "--output", "x"], "RUN"),
        (["report"], "DIR"),
        (["config"], "QUESTION"),
        (["config", "diff"], "--config-file"),
        (["predict", "--output", "x"], "--images"),
        (["demo", "retina"], "Did you mean 'retinanet'?"),
        (["analyze", "--output", "x", "--wieghts", "model.pth"], "--wieghts"),
        (["analyze", "--output", "x", "--num-images", "few"], "--num-images"),
    ],
)
def test_a_wrong_command_line_is_said(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        imbdet.cli.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


BAD_INPUT = {
    "config file missing": (["--config-file", "nowhere.yaml"], "nowhere.yaml"),
    "unknown key": (["MODEL.CLS_LOS.NAME", "focal"], "MODEL.CLS_LOSS.NAME"),
    "option among the keys": (["SEED", "1", "--dataset", "shapes_val"], "'--dataset' is an option"),
    "unknown data set": (["--dataset", "shapes_vla"], "shapes_val"),
    "unknown image": (["--picture", "nosuch"], "--picture 'nosuch': no image has this name"),
    "no weights": (["--weights", "nowhere.pth"], "nowhere.pth"),
    "no images": (["--num-images", "0"], "--num-images is 0"),
    "another detector": (["MODEL.ROI_HEADS.NAME", "StandardROIHeads"], "'ImbROIHeads'"),
    "no picture": (["--picture", "7777", "--num-images", "1"], "--picture '7777'"),
}
TINY = ["DATASETS.SHAPES.NUM_VAL", "2", "DATASETS.SHAPES.IMAGE_SIZE", "96"]
TINY += ["DATASETS.SHAPES.NUM_TRAIN", "1", "DATASETS.SHAPES.OBJECT_SIZE", "(8, 32)"]


@pytest.mark.parametrize(("bad", "message"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_one_clear_error(bad, message, tmp_path, capsys):
    keys = bad if "." in bad[0] or bad[0] == "SEED" else []
    options = [] if keys else bad
    args = ["analyze", "--config-file", CONFIG, "--output", str(tmp_path / "o"), *options]
    assert imbdet.cli.main([*args, *TINY, *keys]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_output_that_is_a_file_is_said(capsys):
    assert imbdet.cli.main(["analyze", "--config-file", CONFIG, "--output", __file__, *TINY]) == 2
    assert "cannot be written to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "Stopped."),
        (OSError(28, "No space left on device", "part.parquet"), 2, "part.parquet"),
        (FloatingPointError("Predicted boxes\ncontain Inf/NaN."), 2, "boxes contain"),
    ],
)
def test_what_ends_a_run_is_said(error, status, words, monkeypatch, capsys):
    def fail(args):
        raise error

    monkeypatch.setattr(imbdet.cli.analyze, "run", fail)
    assert imbdet.cli.main(["analyze", "--output", "x"]) == status
    assert words in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch):
    def fail(args):
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(imbdet.cli.analyze, "run", fail)
    with pytest.raises(OSError, match="No such file"):
        imbdet.cli.main(["analyze", "--output", "x"])


def test_a_worker_process_that_starts_afresh_finds_detectron2(tmp_path):
    # The console script as pip writes it; the worker unpickles a class of detectron2 first.
    (tmp_path / "imbdet_script.py").write_text(
        "from imbdet.cli import main\n"
        "if __name__ == '__main__':\n"
        "    import multiprocessing, imbdet.compat\n"
        "    from detectron2.data import DatasetFromList\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    worker = context.Process(target=DatasetFromList, args=([1],))\n"
        "    worker.start()\n"
        "    worker.join()\n"
        "    raise SystemExit(worker.exitcode)\n"
    )
    script = str(tmp_path / "imbdet_script.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, script], capture_output=True, env=environment)
    assert result.returncode == 0, result.stderr.decode()
