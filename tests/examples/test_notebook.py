"""The notebook on a run of some iterations, and what is kept of it in the repository."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import polars as pl
import pytest

import imbdet.cli
import train_net
from imbdet.analysis.analysis_writer import ResultWriter
from imbdet.errors import UserError
from tests.test_train_net import arguments

NOTEBOOK = Path(train_net.__file__).parent / "examples" / "explore_samples.ipynb"


def cells():
    return json.loads(NOTEBOOK.read_text())["cells"]


def code_cells(**paths):
    """The Python of the cells, with other values of the first cell's names."""
    sources = ["".join(cell["source"]) for cell in cells() if cell["cell_type"] == "code"]
    for name, value in paths.items():
        sources[0], count = re.subn(
            rf"^{name} = [^#\n]+", f"{name} = {value!r}", sources[0], flags=re.M
        )
        assert count == 1, name
    return [re.sub(r"^%.*$", "", source, flags=re.M) for source in sources]


@pytest.fixture(autouse=True)
def _surroundings(tmp_path, monkeypatch, restored_loggers):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.chdir(tmp_path)  # the notebook goes to the project's folder
    with mpl.rc_context(), pl.Config():
        yield


def test_runs_on_a_small_training(tmp_path, monkeypatch):
    for name in ("write_figures", "write_pictures"):  # the notebook reads tables alone
        monkeypatch.setattr(ResultWriter, name, lambda *args: None)
    run = tmp_path / "run"
    assert train_net.main(arguments("faster_rcnn", run, **{"RECORD.PERIOD": 2})) == 0
    options = {
        "config-file": run / "config.yaml",
        "weights": run / "model_final.pth",
        "output": run / "analysis",
        "num-images": 2,
    }
    assert imbdet.cli.main(["analyze", *(f"--{k}={v}" for k, v in options.items())]) == 0
    names = {}
    for source in code_cells(RUN=str(run), OTHER_RUN=str(tmp_path / "none"), NUM_IMAGES=6):
        exec(source, names)

    results = names["results"]
    right = dict(zip(results["positives made right"], results["right, %"], strict=True))
    for order in ("equal", "by IoU"):
        shares = [right[f"{top}, {order}"] for top in names["TOPS"]]
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(100)
    assert right["as it is"] < 100
    ap = dict(zip(results["positives made right"], results["AP"], strict=True))
    assert ap["as it is"] < ap["all, equal"] <= ap["all, by IoU"]
    shares = names["shares"]
    assert [row["site"] for row in shares] == ["rpn", "roi_heads"]
    assert all(0 < row["negatives' share of the gradient"] < 1 for row in shares)
    # AP loss raises positives as much as it lowers negatives.
    entries = names["entries"]
    of_positives = entries.filter("is_positive")["AP loss"].sum() / entries["AP loss"].sum()
    assert of_positives == pytest.approx(0.5, abs=1e-3)


def test_its_imports_work_in_a_new_process():
    # Where detectron2 v0.6 does not come first, as it does not know today's libraries.
    tree = ast.parse("\n".join(code_cells()))
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    code = "\n".join(map(ast.unparse, imports))
    assert "from detectron2" in code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_says_what_is_missing(tmp_path):
    paths, opening, *_ = code_cells(RUN=str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"model_final.pth': run 'make demo MODEL=faster_rcnn'"):
        exec(f"{paths}\n{opening}", {})


def test_what_is_kept_is_whole_and_tells_no_paths():
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    contents = [output.get("data", {}) for output in outputs]
    assert sum("image/png" in content for content in contents) == 6
    texts = [cell["source"] for cell in cells()]
    texts += [output.get("text", []) for output in outputs]
    texts += [text for content in contents for kind, text in content.items() if "text" in kind]
    assert not re.findall(r"(?<![\w.:/<])/\w+/[\w/.-]+", "\n".join(map("".join, texts)))
    assert NOTEBOOK.stat().st_size < 0.6e6
