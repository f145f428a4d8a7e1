"""From folders of runs to a folder of tables, figures and pictures."""

import importlib.util
import json
import shutil

import pyarrow.parquet as pq
import pytest

import imbdet.cli
from imbdet.programs.processes import path_of
from imbdet.report import write_report
from tests.compare.problems import OBJECTS, RESULTS, place, write_run, write_truth
from tests.compare.test_analysed_candidates import analysed
from tests.ink import is_cut_off

pytestmark = pytest.mark.usefixtures("restored_loggers")

FIGURES = {
    *("class_ap", "coco", "curves", "lrp", "score_by_iou", "score_by_rank", "score_iou"),
    *(["error_types"] if importlib.util.find_spec("tidecv") else []),
}
BETTER = [*RESULTS, place(1, 1, score=0.95), place(2, 1, category_id=2, score=0.3)]


def compare(tmp_path, *runs, options=()):
    output = tmp_path / "output"
    args = ["compare", *map(str, runs), "--output", str(output), *options]
    assert imbdet.cli.main(args) == 0
    return output, (output / "summary.txt").read_text()


def files(folder, ending):
    return {path.stem for path in folder.glob(f"*.{ending}")}


def test_everything_is_written_and_agrees(tmp_path, capsys):
    truth = write_truth(tmp_path / "data")
    base = write_run(tmp_path / "base", truth, ap=30.0)
    opts = ["MODEL.CLS_LOSS.NAME", "ap", "OUTPUT_DIR", "other"]
    losses = (1.0, float("nan"))
    other = write_run(tmp_path / "x" / "base", truth, results=BETTER, losses=losses, opts=opts)
    for run in (base, other):
        analysed(run, ["1", "2"])
    output, summary = compare(tmp_path, base, other)
    printed = capsys.readouterr().out
    assert summary in printed
    assert "nan" not in summary.lower()
    for ending in ("png", "pdf"):
        assert files(output / "figures", ending) == FIGURES
    assert files(output / "tables", "parquet") == FIGURES | {"differing_keys", "pictures"}
    assert "differing_keys: x/base has MODEL.CLS_LOSS.NAME 'ap' instead of ''.\n" in summary
    assert not any(map(is_cut_off, (output / "figures").glob("*.png")))
    assert files(output / "pictures", "png") == {"1"}
    rows = pq.read_table(output / "tables" / "coco.parquet").to_pylist()
    ap = {row["run"]: row["value"] for row in rows if row["metric"] == "AP"}
    assert ap.keys() == {f"{tmp_path.name}/base", "x/base"}
    first, second = ap.values()
    assert f"AP of {tmp_path.name}/base {first:.1f}, x/base {second:.1f}" in summary
    assert "total_loss of x/base is not finite at iteration 39, its last." in summary

    # A second comparison, which shows less: nothing of the first is left.
    page = write_report(output)
    shutil.copy(base / "config.yaml", other)
    results = tmp_path / "x" / "base" / "inference" / "tiny" / "coco_instances_results.json"
    results.unlink()
    output, summary = compare(tmp_path, base, other)
    assert files(output / "figures", "png") == {"curves", "score_by_iou", "score_by_rank"}
    assert files(output / "tables", "parquet") == {"curves", "score_by_iou", "score_by_rank"}
    assert files(output / "pictures", "png") == set()
    assert not page.exists()
    assert "differing_keys: x/base has the baseline's config.\n" in summary
    command = f"{path_of('imbdet')} train --config-file"
    assert f"x/base has no results on 'tiny', which `{command}" in summary
    assert "coco: no figure, it needs results of the baseline and another run" in summary


def test_what_is_missing_is_said(tmp_path):
    truth = write_truth(tmp_path / "data", [(1, 0, 1)], num_images=1)
    own = [record for record in RESULTS if record["image_id"] == 1]
    runs = [
        write_run(tmp_path / "base", truth, losses=(), results=own),
        write_run(tmp_path / "empty", truth, losses=(), results=[]),
        write_run(tmp_path / "unknown", truth, losses=(), results=None),
    ]
    (tmp_path / "base" / "model_final.pth").touch()
    output, summary = compare(tmp_path, *runs)
    for sentence in (
        "unknown has no results on 'tiny'",
        "empty has no analysis, and no checkpoint for one.",
        f"base has no analysis, which `{path_of('imbdet')} analyze --config-file",
        "curves: no figure, no run has curves",
        "coco: AP of base 100.0, empty 0.0 (-100.0, no interval)",
        "class_ap: empty is better in 0 of 1 class, worse in",
        "score_by_rank: no figure, it needs an analysis of base, empty, unknown.",
    ):
        assert sentence in summary
    assert "nan" not in summary
    assert files(output / "pictures", "png") == {"1"}


def test_names_are_drawn_as_they_are(tmp_path, recwarn):
    # Between dollars matplotlib reads mathematics, and its legends leave out what begins with "_".
    truth = write_truth(tmp_path / "data", classes=("$_$", "US$ and CA$"))
    runs = [write_run(tmp_path / name, truth, ap=30.0) for name in ("_base", "$_$")]
    for run in runs:
        analysed(run, ["1", "2"])
    output, _ = compare(tmp_path, *runs)
    assert files(output / "figures", "png") == FIGURES
    assert not [warning for warning in recwarn if "legend" in str(warning.message)]


@pytest.mark.parametrize("objects", [[], [(1, 0, 1, "crowd")]])
def test_no_objects(objects, tmp_path):
    truth = write_truth(tmp_path / "data", objects)
    runs = [write_run(tmp_path / name, truth) for name in ("a", "b")]
    output, summary = compare(tmp_path, *runs)
    assert files(output / "figures", "png") == {"curves"}
    assert "coco: no figure, 'tiny' has no objects." in summary


def test_bad_input_is_one_clear_error(tmp_path, capsys):
    truth = write_truth(tmp_path / "data", OBJECTS)
    runs = [str(write_run(tmp_path / name, truth)) for name in ("a", "b")]
    output = ["--output", str(tmp_path / "o")]
    for args, message in (
        ([runs[0], *output], "needs two runs or more"),
        ([runs[0], str(tmp_path), *output], "is no run"),
        ([*runs, "--output", runs[1]], "holds a run"),
        ([*runs, "--output", str(truth)], "cannot be written to"),
        ([*runs, *output, "--dataset", "tyni"], "Did you mean 'tiny'?"),
        ([*runs, *output, "--picture", "7"], "--picture '7'"),
    ):
        assert imbdet.cli.main(["compare", *args]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert message in error
        assert error.count("\n") == 1


def test_ctrl_c_leaves_nothing_half_written(tmp_path, monkeypatch):
    truth = write_truth(tmp_path / "data")
    runs = [write_run(tmp_path / name, truth) for name in ("a", "b")]

    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("imbdet.compare.comparison_writer.CocoTable.draw", stop)
    args = ["compare", *map(str, runs), "--output", str(tmp_path / "o")]
    assert imbdet.cli.main(args) == 130
    assert not list((tmp_path / "o").rglob(".*"))
    assert not (tmp_path / "o" / "summary.txt").exists()
    assert json.loads((runs[0] / "metrics.json").read_text().splitlines()[0])["total_loss"] == 2
