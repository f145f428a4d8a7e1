"""How benchmarks/fuzz.py counts answers."""

import pytest

from tests.test_configs import CONFIGS


@pytest.mark.parametrize(
    ("status", "text", "outcome"),
    [
        (0, "done", "accepted"),
        (2, "a log line\nerror: Unknown key.\n", "sentence"),
        (2, "usage: imbdet\nimbdet: error: unrecognized arguments\n", "sentence"),
        (2, "error: one\nerror: two\n", "traceback"),
        (2, "", "traceback"),
        (1, "Traceback (most recent call last):\n", "traceback"),
        (-11, "", "traceback"),
    ],
)
def test_only_one_sentence_with_status_2_is_a_refusal(monkeypatch, status, text, outcome):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    from fuzzing.answers import _judge

    assert _judge(status, text) == outcome
