"""benchmarks/on_gpu.py: its parts run, one that fails stops no other, and marks are judged."""

import json
import runpy

import pytest

from imbdet.errors import UserError
from tests.test_configs import CONFIGS

ROOT = CONFIGS.parent


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import on_gpu

    return on_gpu


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_programs_take_the_arguments_of_the_parts_and_measure_what_has_marks(
    on_gpu, device, monkeypatch, tmp_path
):
    sections = {}
    for name, part in on_gpu.PARTS.items():
        _, program, *arguments = part.words(device, tmp_path / "results.json")
        if program.endswith(".py"):
            monkeypatch.setattr("sys.argv", [program, *arguments])
            args = runpy.run_path(str(ROOT / program))["parse_args"]()
            assert args.device == device
            assert args.json == tmp_path / "results.json"
            sections[name] = args.only
    for mark in on_gpu.MARKS:
        assert mark.section in sections[mark.part], mark.figure


def test_a_part_that_fails_stops_no_other_and_later_calls_add_theirs(
    on_gpu, tmp_path, monkeypatch, capsys
):
    tests = "-c 'print(1); print(\"2 passed\")'"
    parts = {"bad": "-c 'raise SystemExit(3)'", "tests": tests, "more": "-V"}
    monkeypatch.setattr(on_gpu, "PARTS", {name: on_gpu.Part(c, "") for name, c in parts.items()})
    options = ["--device", "cpu", "--output", str(tmp_path), "--only"]
    assert on_gpu.main([*options, "bad", "tests"]) == 1
    assert on_gpu.main([*options, "more"]) == 0
    ended = json.loads((tmp_path / "parts.json").read_text())
    assert [(name, part["status"]) for name, part in ended.items()] == [
        *(("bad", 3), ("tests", 0), ("more", 0))
    ]
    assert ended["tests"]["last"] == "2 passed"
    assert (tmp_path / "tests.log").read_text() == "1\n2 passed\n"
    printed = capsys.readouterr().out
    assert "bad: failed with status 3" in printed
    assert on_gpu.judge(tmp_path)[-1] == {
        **{"figure": "tests/test_gpu.py", "of": "2 passed", "mark": "pass", "reached": "yes"}
    }
    ended["tests"]["last"] = "517 skipped"
    (tmp_path / "parts.json").write_text(json.dumps(ended))
    assert on_gpu.judge(tmp_path)[-1]["reached"] == "no"


def test_without_a_gpu_a_sentence_says_so(on_gpu):
    with pytest.raises(UserError, match=r"^There is no GPU"):
        on_gpu.main([])


def test_the_worst_row_decides_or_the_best_where_one_is_enough(on_gpu, tmp_path):
    def row(state, ms, positives=500, ratio=20.0, by="triton"):
        columns = {"loss": "AP", "by": by, "state": state, "positives": positives}
        times = {"ms": ms, "from": ms - 0.1, "to": ms + 0.1, "memory": 1.25}
        return {**columns, **times, "bucketed over it": ratio, "at least": 9.0, "at most": 30.0}

    losses = [
        *(row("initial", 0.8), row("spread", 1.1), row("spread", 9.0, positives=10_000, ratio=8.0)),
        *(row("initial", 9.0, by="torch", ratio=1.0), {**row("initial", 0.1), "ms": None}),
    ]
    (tmp_path / "losses.json").write_text(json.dumps({"losses": losses}))
    speeds = [{"method": "compiled", "ratio": 0.9}, {"method": "bfloat16", "ratio": 0.7}]
    amp = [{**speed, "low": 0.6, "high": 1.0} for speed in speeds]
    (tmp_path / "retinanet_speed.json").write_text(json.dumps({"amp": amp}))
    judged = {row.pop("figure"): row for row in on_gpu.judge(tmp_path)}
    assert judged["AP [ms]"] == {
        **{"of": "AP, spread, 500", "value": 1.1, "low": 1.0, "high": pytest.approx(1.2)},
        **{"mark": "<= 1", "reached": "no"},
    }
    assert judged["AP, memory / logits"]["reached"] == "yes"
    bucketed = judged["bucketed / ours"]
    assert (bucketed["value"], bucketed["mark"], bucketed["reached"]) == (8.0, ">= 10", "no")
    speed = judged["RetinaNet with MODEL.SPEED / Detectron2's with AMP"]
    assert (speed["of"], speed["value"], speed["reached"]) == ("bfloat16", 0.7, "yes")
    assert judged["PISA / plain Faster R-CNN"]["value"] is None
    assert judged["PISA / plain Faster R-CNN"]["reached"] == "not measured"
