"""The page of a folder with any contents."""

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import imbdet.cli
from imbdet.report import write_report
from imbdet.report.elements import to_html
from imbdet.report.gallery import Gallery
from tests.report.factories import CLASSES, write_analysis, write_picture, write_run


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    write_run(folder)
    return folder


@pytest.fixture
def run(whole_run, tmp_path):
    return Path(shutil.copytree(whole_run, tmp_path / "run"))


class Page(HTMLParser):
    """Texts by tab, and the scripts."""

    def __init__(self, path):
        super().__init__()
        self.tabs, self.scripts, self.tags = {}, 0, set()
        self._tab = self._in_script = None
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self._in_script = tag == "script"
        self.scripts += tag == "script" and "type" not in attrs
        if attrs.get("role") == "tabpanel":
            self._tab = attrs["id"]
            self.tabs[self._tab] = ""

    def handle_endtag(self, tag):
        self._in_script = False

    def handle_data(self, data):
        if self._tab and not self._in_script:
            self.tabs[self._tab] += f"{data} "


def test_needs_neither_torch_nor_detectron2():
    names = "'torch', 'detectron2'"
    check = f"import sys, imbdet.report; assert not sys.modules.keys() & {{{names}}}"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_page_of_a_run(run, capsys):
    assert imbdet.cli.main(["report", str(run)]) == 0
    assert capsys.readouterr().out == f"The report is '{run / 'report.html'}'.\n"
    page = Page(run / "report.html")
    names = ["overview", "training", "evaluation", "records", "figures", "pictures"]
    assert list(page.tabs) == [*names, "configuration"]
    for tab, texts in {
        "overview": [
            *("12.3", "40.0", "8 images, 3 classes", "seed", "torch", "50 s"),
            *("sampler of positives random", "classification loss softmax_cross_entropy"),
            *("Conclusion", "has done 100 of 40,000 iterations", "1 of 2 classes are best not"),
            f"most confused: 30 of 100 objects of {CLASSES[1]} are taken for {CLASSES[0]}.",
        ],
        "evaluation": [
            *("1,234 detections on 8 images", "12.35", "<img src=x onerror=alert(1)>"),
            *("Precision and recall on val, boxes", "Confusion on val", "oLRP best threshold"),
        ],
        "records": ["roi_heads", "rpn"],
        "figures": ["of the hard negatives", "3 candidates have predictions that are not finite."],
        "pictures": ["a & b"],
        "configuration": ["SOLVER.BASE_LR", "0.001", "0.25", "yes", "MODEL.CLS_LOSS.NAME"],
    }.items():
        for text in texts:
            assert text in " ".join(page.tabs[tab].split()), (tab, text)


def test_averaged_weights_are_evaluated_beside(run):
    shutil.copytree(run / "inference", run / "inference_EMA")
    tabs = Page(write_report(run)).tabs
    for tab in ("overview", "evaluation"):
        assert "val, averaged weights" in tabs[tab]


def test_the_best_evaluation_is_told(run):
    best = {"metric": "bbox/AP", "min_delta": 0.0, "value": 34.0, "iteration": 60}
    best |= {"reference": 34.0, "num_without_gain": 2, "seen": 100}
    (run / "best.json").write_text(json.dumps(best))
    config = run / "config.yaml"
    assert "Best evaluation" not in Page(write_report(run)).tabs["overview"]
    text = config.read_text().replace("METRIC: ''", "METRIC: bbox/AP")
    config.write_text(text.replace("PATIENCE: 0", "PATIENCE: 2"))
    text = " ".join(Page(write_report(run)).tabs["overview"].split())
    told = "metric bbox/AP value 34.000 after 60 iterations weights model_best.pth"
    for words in (told, "stopped early, after 100 of 40,000", "in the last 2 evaluations"):
        assert words in text
    (run / "best.json").write_text("{}")
    text = Page(write_report(run)).tabs["overview"]
    assert "'best.json' is not as imbdet writes it" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("build_p5_timm_fpn_backbone", "build_p5_timm_fpn_backbone, mobilenetv2_100 "),
        ("build_retinanet_resnet_fpn_backbone", "build_retinanet_resnet_fpn_backbone, depth 50 "),
        ("of_my_own", "backbone of_my_own images"),
    ],
)
def test_the_backbone_is_named_with_what_its_builder_reads(run, name, words):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["MODEL"]["BACKBONE"]["NAME"] = name
    config["MODEL"]["TIMM"]["NAME"] = "mobilenetv2_100"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert words in " ".join(Page(write_report(run)).tabs["overview"].split())


def test_texts_of_the_data_stay_texts(run):
    page = Page(write_report(run))
    for name in CLASSES:
        assert f" {name} " in page.tabs["evaluation"]
        assert f" {name} " in page.tabs["figures"]
    assert page.scripts == 1
    assert "b" not in page.tags


def test_second_report_replaces_the_first_and_leaves_nothing_else(run):
    before = sorted(run.iterdir())
    first = write_report(run).read_text()
    (run / "inference" / "val" / "metrics.json").unlink()
    assert write_report(run).read_text() != first
    assert sorted({*run.iterdir()} - {*before}) == [run / "report.html"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:50])


def write(text):
    return lambda path: path.write_text(text)


def empty_table(path):
    pq.write_table(pq.read_table(path).slice(0, 0), path)


def foreign_table(path):
    pq.write_table(pa.table({"x": [1]}), path)


TABLE = "analysis/tables/ranks.parquet"
DRAWING = "analysis/figures/ranks.svg"
METRICS = "inference/val/metrics.json"
PICTURE = "analysis/pictures/a & b.png"
# By kind of damage: the file, what damages it, the tab that reports it, and the message.
DAMAGE = {
    "missing": [
        ("run.json", Path.unlink, "overview", "There is no 'run.json'."),
        ("config.yaml", Path.unlink, "configuration", "There is no 'config.yaml'."),
        ("metrics.json", Path.unlink, "training", "There is no 'metrics.json'."),
        (METRICS, Path.unlink, "evaluation", "There is no 'metrics.json'."),
        (TABLE, Path.unlink, "figures", "There is no 'ranks.parquet'."),
    ],
    "cut off": [
        ("run.json", truncate, "configuration", "'run.json' is damaged or incomplete."),
        ("config.yaml", write("a: [1"), "configuration", "'config.yaml' is damaged"),
        (
            "metrics.json",
            write('{"iteration": 1, "lr": 0.1}\n{"iterat'),
            "training",
            "Left out of 'metrics.json': 1 damaged line.",
        ),
        (METRICS, truncate, "evaluation", "'metrics.json' is damaged or incomplete."),
        (TABLE, truncate, "figures", "'ranks.parquet' is damaged or incomplete."),
        (PICTURE, truncate, "pictures", "These pictures cannot be read: a & b.png."),
    ],
    "of others": [
        ("run.json", write('{"a": 1}'), "overview", "'run.json' is not as imbdet writes it"),
        ("config.yaml", write("a: 1"), "overview", "'config.yaml' is not as imbdet writes it"),
        (METRICS, write('{"bbox": 3}'), "evaluation", "'metrics.json' is not as imbdet writes"),
        ("analysis/summary.txt", Path.unlink, "figures", "There is no 'summary.txt'."),
        (DRAWING, write("<svg"), "figures", "'ranks.svg' is damaged or incomplete."),
    ],
    "empty or too large": [
        (
            "config.yaml",
            write("a: " + 300_000 * "b"),
            "configuration",
            "'config.yaml' is too large",
        ),
        ("run.json", write("[]"), "overview", "'run.json' is not as imbdet writes it"),
        ("metrics.json", write(""), "training", "'metrics.json' has no curves."),
        (TABLE, empty_table, "figures", "'ranks.parquet' has no rows."),
        (DRAWING, write(" " * 5_000_001), "figures", "'ranks.svg' is too large for the page: "),
        (
            "analysis/summary.txt",
            write("overlap: no figure, no candidate was chosen.\n"),
            "figures",
            "There is no figure: no candidate was chosen.",
        ),
    ],
}


@pytest.mark.parametrize("damages", DAMAGE.values(), ids=DAMAGE.keys())
def test_what_is_missing_or_damaged_is_a_sentence(run, damages):
    for name, damage, _, _ in damages:
        damage(run / name)
    page = Page(write_report(run))
    assert len(page.tabs) == 7
    for _, _, tab, text in damages:
        assert text in page.tabs[tab]


def test_only_an_evaluation(run):
    for name in ("config.yaml", "metrics.json", "run.json"):
        (run / name).unlink()
    page = Page(write_report(run))
    assert "12.35" in page.tabs["evaluation"]
    assert "There is no 'metrics.json'." in page.tabs["training"]


def test_page_of_an_analysis_alone(tmp_path):
    write_analysis(tmp_path, {})
    foreign_table(tmp_path / "tables" / "odd_ones.parquet")
    write_picture(tmp_path / "figures" / "odd_ones.png")
    (tmp_path / "summary.txt").write_text("odd_ones: Most are odd.\nrest: None.\n")
    page = Page(write_report(tmp_path))
    assert list(page.tabs) == ["figures", "pictures"]
    # A table without a drawing of its own here shows the one for papers.
    assert "Odd ones Most are odd. odd_ones" in page.tabs["figures"]
    assert "img" in page.tags
    assert page.tabs["figures"].rstrip().endswith("Rest None.")


@pytest.mark.parametrize("name", ["nowhere", "empty", "file"])
def test_a_folder_of_something_else_is_refused(name, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert imbdet.cli.main(["report", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert f"'{tmp_path / name}' is n" in error
    assert "OUTPUT_DIR of a training" in error
    assert not (tmp_path / name / "report.html").exists()


def test_pictures_keep_within_the_budget(tmp_path):
    for name in ("a", "b", "c"):
        write_picture(tmp_path / f"{name}.png", size=(1600, 900))
    paths = list(tmp_path.iterdir())
    size = len(to_html(Gallery().embed(paths))) / 3
    text = to_html(Gallery(max_bytes=2.5 * size).embed(paths))
    assert len(text) < 2.5 * size
    assert text.count("<img") == 2
    assert "Left out to keep the page small: c.png." in text
