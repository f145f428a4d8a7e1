"""The table of benchmarks/head_to_head.py, with few logits and Triton's interpreter."""

import pytest

from imbdet.kernels.backend import choose_backend
from tests.test_configs import CONFIGS


@pytest.fixture
def head_to_head(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import head_to_head

    yield head_to_head
    choose_backend("auto")


def test_each_loss_is_measured_by_each_backend_and_beside_what_there_is(head_to_head, monkeypatch):
    pytest.importorskip("triton")
    command = "head_to_head.py --sizes 800 --positives 5 20 --repetitions 1 --columns 80"
    options = ["--losses", "Rank & Sort", "focal", "--backends", "torch", "triton"]
    monkeypatch.setattr("sys.argv", [*command.split(), *options])
    rows = head_to_head.measure(head_to_head.parse_args())
    assert {row["positives"] for row in rows} == {5}  # there are 10 rows of logits
    measured = [(row["loss"], row["by"]) for row in rows if row["state"] == "spread"]
    sorters = [("Rank & Sort", by) for by in ("torch", "triton", "bucketed", "loop")]
    assert measured == [*sorters, ("focal", "torch"), ("focal", "triton")]
    assert all(row["from"] <= row["ms"] <= row["to"] for row in rows)
    assert ["bucketed over it" in row for row in rows[:6]] == [
        True,
        True,
        False,
        True,
        False,
        False,
    ]


def test_goals_are_those_of_a_gpu_and_of_the_bucketed_algorithm(head_to_head):
    row = {"loss": "AP", "logits": 16_000_000, "positives": 500, "ms": 0.9, "memory": 1.4}
    row["bucketed over it"] = 12.0
    on_gpu, on_cpu = (head_to_head.judge(row, device) for device in ("cuda", "cpu"))
    assert on_gpu == {"goal": "1.0 ms, memory 1.3, 10 times", "met": "yes, no, yes"}
    assert on_cpu == {"goal": "10 times", "met": "yes"}
    assert head_to_head.judge({**row, "positives": 100}, "cpu") == {}
