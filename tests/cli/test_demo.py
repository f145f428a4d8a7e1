"""``imbdet demo``: the commands that it runs."""

import itertools
import shlex
import signal

import pytest

from imbdet.cli import build_parser, demo, main
from imbdet.programs.signals import Stopped


@pytest.fixture
def commands(monkeypatch):
    """The commands that would run; each ends with status 0."""
    seen = []
    monkeypatch.setattr(demo, "wait_for", lambda command: seen.append(command) or 0)
    return seen


@pytest.mark.parametrize("detector", ["retinanet", "faster_rcnn"])
def test_trains_analyses_and_reports(detector, commands, capsys):
    assert main(["demo", detector, "SOLVER.MAX_ITER", "5"]) == 0
    train, analyze, clean, report = commands
    args = build_parser().parse_args(train[1:])
    assert args.resume
    assert args.config_file == [
        f"imbdet://quick_start/{detector}.yaml",
        "imbdet://quick_start/Records.yaml",
    ]
    assert args.opts == ["SOLVER.MAX_ITER", "5"]
    args = build_parser().parse_args(analyze[1:])
    assert args.weights == f"output/{detector}/model_final.pth"
    assert args.config_file == [f"output/{detector}/config.yaml"]
    assert build_parser().parse_args(clean[1:]).run_folder == f"output/{detector}"
    assert build_parser().parse_args(report[1:]).output == f"output/{detector}"
    out = capsys.readouterr().out
    assert out.startswith(f"The results go to 'output/{detector}', the data set")
    train, compare = (shlex.split(line) for line in out.splitlines()[-2:])
    args = build_parser().parse_args(train[1:])
    assert len(args.config_file) == 2
    assert args.opts[:2] == ["SOLVER.MAX_ITER", "5"]
    output = dict(itertools.pairwise(args.opts))["OUTPUT_DIR"]
    assert build_parser().parse_args(compare[1:]).runs == [f"output/{detector}", output]
    assert all(f"$ {shlex.join(command)}\n" in out for command in commands)


def test_looks_where_the_training_went(commands, capsys):
    assert main(["demo", "retinanet", "OUTPUT_DIR", "elsewhere"]) == 0
    assert commands[-1][-1] == "elsewhere"
    train, compare = (shlex.split(line) for line in capsys.readouterr().out.splitlines()[-2:])
    assert build_parser().parse_args(train[1:]).opts == ["OUTPUT_DIR", "elsewhere_Loss-AP"]
    assert build_parser().parse_args(compare[1:]).runs == ["elsewhere", "elsewhere_Loss-AP"]


@pytest.mark.parametrize(("status", "goes_on"), [(130, True), (1, True), (2, False)])
def test_ends_with_the_first_command_that_fails(status, goes_on, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(demo, "wait_for", lambda command: seen.append(command) or status)
    assert main(["demo"]) == status
    assert len(seen) == 1
    # It does not after a mistake of the user, which the same command would repeat.
    assert ("goes on" in capsys.readouterr().err) == goes_on


def test_says_after_ctrl_c_that_it_goes_on(monkeypatch, capsys):
    def press_ctrl_c(command):
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(demo, "wait_for", press_ctrl_c)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "Stopped. The demo, started again, goes on from there.\n"
