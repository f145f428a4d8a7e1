"""The page of a search."""

import json

from imbdet.report import write_report

ARM = {"arm": "dr", "iteration": 450, "aps": [26.0, 27.0], "fate": "the winner"}
CONTENT = {
    "sentences": ["<2> methods were tried."],
    "arms": [
        {**ARM, "difference": {"value": 4.25, "low": 1.5, "high": 7.0}, "difference_at": 150},
        {
            **{"arm": "focal", "iteration": 0, "aps": [], "fate": "failed"},
            **{"difference": None, "difference_at": None},
        },
    ],
    "final": {
        "dataset": "test",
        "seeds": [11, 12],
        "winner": [25.25, 25.5],
        "baseline": [22.0, 22.5],
        "difference": {"value": 3.0, "low": 1.0, "high": 5.0},
    },
}


def page(folder, content):
    (folder / "search.json").write_text(content)
    return write_report(folder).read_text()


def test_it_has_what_was_tried_and_decided(tmp_path):
    text = page(tmp_path, json.dumps(CONTENT))
    for part in ("&lt;2&gt; methods were tried.", "26.50", "4.25", "150", "the winner", "25.25"):
        assert part in text
    assert "never saw" in text


def test_a_winner_that_is_the_baseline_stands_alone_at_the_end(tmp_path):
    assert ">the baseline<" in page(tmp_path, json.dumps(CONTENT))
    final = {**CONTENT["final"], "baseline": [25.25, 25.5], "difference": None}
    text = page(tmp_path, json.dumps({**CONTENT, "final": final}))
    assert ">the baseline<" not in text
    assert ">the winner</button>" in text


def test_it_has_no_final_comparison_before_the_end(tmp_path):
    assert "Final comparison" not in page(tmp_path, json.dumps({**CONTENT, "final": None}))


def test_a_damaged_file_is_a_sentence(tmp_path):
    assert "damaged or incomplete" in page(tmp_path, "{")
    assert "is not as imbdet writes it" in page(tmp_path, "{}")
