"""Code that the pages tell a reader to write works as it stands there."""

import re
import shutil
import sys
import textwrap
from pathlib import Path

import pytest
import torch

import imbdet.assigners
import imbdet.cli
import imbdet.losses
import imbdet.samplers
from imbdet.config import load_config
from imbdet.errors import UserError
from imbdet.modeling import build_model, site_keys
from imbdet.modeling.assigners import build_assigner
from imbdet.modeling.build import build_criterion, build_sampler
from imbdet.structures.classifiers import SIGMOID

# isort: split
from detectron2.config import CfgNode

import train_net
from tests.modeling.conftest import small_config
from tests.registries import REGISTRIES

DOCS = Path(train_net.__file__).parent / "docs"


def python_blocks(page):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return [textwrap.dedent(block) for block in blocks]


def run(code, **names):
    exec(code, names)
    return names


@pytest.fixture
def _restored_registries():
    before = [(r, dict(r)) for r in REGISTRIES]
    yield
    for r, methods in before:
        r._methods.clear()
        r._methods.update(methods)


@pytest.mark.usefixtures("_restored_registries")
def test_a_loss_is_one_file_and_one_test(monkeypatch):
    file, test, _ = python_blocks("adding_a_loss.md")
    monkeypatch.setattr(imbdet.losses, "poly_loss", run(file)["poly_loss"], raising=False)
    text = (DOCS / "adding_a_loss.md").read_text()
    (piece,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    cfg = small_config("retinanet")
    assert cfg.MODEL.RPN_LOSS.CLS.POLY.EPSILON == 1.0
    cfg.merge_from_other_cfg(CfgNode.load_cfg(piece))
    criterion = build_criterion(cfg, site_keys.RETINANET)
    assert criterion.classifier is SIGMOID
    assert criterion.cls_loss.loss.keywords == {"epsilon": 1.0}
    cfg.MODEL.CLS_LOSS.POLY.EPSILON = -2.0
    with pytest.raises(UserError, match=r"MODEL\.CLS_LOSS\.POLY\.EPSILON is -2\.0: it must be at "):
        build_criterion(cfg, site_keys.RETINANET)
    torch.manual_seed(0)
    run(test)["test_poly_loss_is_its_definition"]()


@pytest.mark.usefixtures("_restored_registries")
def test_a_sampler_is_one_file_and_one_test(monkeypatch):
    file, test, _ = python_blocks("adding_a_sampler.md")
    pick_nearest = run(file)["pick_nearest"]
    monkeypatch.setattr(imbdet.samplers, "pick_nearest", pick_nearest, raising=False)
    cfg = small_config("faster_rcnn", "MODEL.SAMPLER.NEGATIVE.NAME", "nearest")
    assert build_sampler(cfg, site_keys.ROI_HEADS).negative is pick_nearest
    run(test)["test_picks_the_highest_ious"]()


@pytest.mark.usefixtures("_restored_registries")
def test_an_assigner_is_one_file_and_one_test(monkeypatch):
    file, test, _ = python_blocks("adding_an_assigner.md")
    nearest = run(file)["nearest"]
    monkeypatch.setattr(imbdet.assigners, "nearest", nearest, raising=False)
    keys = ["MODEL.ASSIGNER.NAME", "nearest", "MODEL.ASSIGNER.NEAREST.TOPK", 3]
    assigner = build_assigner(small_config("retinanet", *keys), site_keys.RETINANET)
    assert assigner.func is nearest
    assert assigner.keywords == {"topk": 3}
    run(test)["test_the_nearest_prior"]()


def own_file(page):
    """The page's file of a method outside the project, with the code that starts the training."""
    file, _, start = python_blocks(page)
    return f"{file}\n\n{start}"


@pytest.mark.usefixtures("_restored_registries")
@pytest.mark.parametrize(
    ("page", "detector", "key", "name"),
    [
        ("adding_a_loss.md", "retinanet", "MODEL.CLS_LOSS.NAME", "poly"),
        ("adding_a_sampler.md", "faster_rcnn", "MODEL.SAMPLER.NEGATIVE.NAME", "nearest"),
        ("adding_an_assigner.md", "retinanet", "MODEL.ASSIGNER.NAME", "nearest"),
    ],
)
def test_a_method_outside_the_project_is_one_file(page, detector, key, name, monkeypatch):
    model = []

    def main():
        model.append(build_model(small_config(detector, key, name)))
        return 0

    monkeypatch.setattr(train_net, "main", main)
    with pytest.raises(SystemExit, match="0"):
        run(own_file(page), __name__="__main__")
    assert len(model) == 1


@pytest.mark.usefixtures("_restored_registries")
def test_imbdet_knows_a_method_whose_file_is_imported(tmp_path, monkeypatch, capsys):
    config = ["--config-file", str(DOCS.parent / "configs" / "quick_start" / "retinanet.yaml")]
    check = ["config", "check", *config, "MODEL.CLS_LOSS.NAME", "poly"]
    assert imbdet.cli.main(check) == 2
    assert "'poly', which does not exist" in capsys.readouterr().err
    (tmp_path / "poly.py").write_text(own_file("adding_a_loss.md"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["-c", *check, "MODEL.CLS_LOSS.POLY.EPSILON", "0.5"])
    (code,) = re.findall(r'python -c "(.*?)"', (DOCS / "adding_a_loss.md").read_text())
    with pytest.raises(SystemExit, match="0"):
        run(code)
    sys.modules.pop("poly")


def test_the_examples_of_methods_print_what_the_page_says(capsys):
    text = (DOCS / "methods.md").read_text()
    examples = python_blocks("methods.md")
    for code, printed in zip(
        examples, re.findall(r"```text\n(.*?)```", text, re.DOTALL), strict=True
    ):
        run(code)
        assert capsys.readouterr().out == printed


@pytest.mark.filterwarnings("ignore")  # torch and detectron2 warn about tracing
@pytest.mark.parametrize("detector", ["retinanet", "faster_rcnn"])
def test_a_traced_detector_finds_what_the_model_finds(detector, tmp_path):
    names = run(*python_blocks("export.md"))
    config, weights, file = (str(tmp_path / name) for name in ("a.yaml", "a.pth", "a.ts"))
    Path(config).write_text(
        f"_BASE_: imbdet://quick_start/{detector}.yaml\nTEST: {{DETECTIONS_PER_IMAGE: 1000}}\n"
        "MODEL: {FPN: {OUT_CHANNELS: 32}, RETINANET: {SCORE_THRESH_TEST: 0.005}}\nVERSION: 2\n"
    )
    torch.manual_seed(0)
    model = build_model(load_config(config, opts=["MODEL.DEVICE", "cpu"]))
    for name, parameter in model.named_parameters():
        if name.endswith("cls_score.weight"):
            torch.nn.init.normal_(parameter)  # scores that differ, so that their order is certain
    torch.save({"model": model.state_dict()}, weights)
    names["export"](config, weights, file, torch.rand(3, 96, 96) * 255)
    traced, own = torch.jit.load(file), names["Detections"](model)
    counts = set()
    for shape in ((96, 96), (64, 128), (160, 96)):
        image = torch.rand(3, *shape) * 255
        with torch.no_grad():
            expected = own(image)
        torch.testing.assert_close(traced(image), expected)
        counts.add(len(expected[0]))
    assert min(counts) > 0
    assert len(counts) > 1


def test_every_name_is_in_the_methods_page():
    text = (DOCS / "methods.md").read_text()
    assert len(REGISTRIES) == 6
    for names in REGISTRIES:
        for name, _ in names:
            assert f"`{name}`" in text, name


def test_defaults_in_the_methods_page_are_those_declared():
    text, name, checked = (DOCS / "methods.md").read_text(), "", 0
    declared = {
        (method.name, option.name): option.default
        for registry in REGISTRIES
        for _, method in registry
        for option in method.options
    }
    # `AP.DELTA` 1, `.INTERPOLATED`: a key without a name is of the method named before.
    stated = re.findall(r"`([A-Z0-9_]*)\.(\w+)`(?: \([^)]*\))?(?: ([\d.]*\d)(?![\d.]* /))?", text)
    for group, option, value in stated:
        name = group.lower() or name
        if value and (name, option.lower()) in declared:
            assert declared[name, option.lower()] == float(value), f"{name}: {option}"
            checked += 1
    assert checked > 10


def choose_gpu(config):
    """The other choice that a config leaves: the lines that are comments."""
    config = re.sub(r"^_BASE_.*\n", "", config, flags=re.MULTILINE)
    return re.sub(r"^# (_BASE_|SOLVER)", r"\1", config, flags=re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "docs/data.md"])
def test_configs_of_a_page_can_be_loaded(page, tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", (DOCS.parent / page).read_text(), re.DOTALL)
    shutil.copytree(DOCS.parent / "configs", tmp_path / "configs")
    file = tmp_path / "configs" / "cells.yaml"
    for text, schedule in ((block, (1000, 240)), (choose_gpu(block), (3000, 640))):
        file.write_text(text)
        cfg = load_config(str(file))
        assert cfg.DATASETS.TRAIN == ("cells_train",)
        assert (cfg.SOLVER.MAX_ITER, cfg.INPUT.MIN_SIZE_TRAIN[0]) == schedule


def test_every_file_that_a_page_names_exists():
    root = DOCS.parent
    folders = "benchmarks|configs|datasets|docs|imbdet|tests|tools"
    for page in [*DOCS.glob("*.md"), *root.glob("*.md"), *root.glob(".github/**/*.md")]:
        for name in re.findall(rf"(?:{folders})/[\w./-]+\.(?:py|yaml|md)", page.read_text()):
            is_example = any(word in name for word in ("poly", "Poly", "nearest", "cells.yaml"))
            assert is_example or (root / name).exists(), f"{page.name}: {name}"


def test_every_paper_that_a_page_names_can_be_cited():
    entries = (DOCS / "references.bib").read_text()
    pages = (DOCS.parent / "README.md").read_text() + (DOCS / "methods.md").read_text()
    papers = set(re.findall(r"arxiv\.org/abs/([\d.]+)", pages))
    assert len(papers) > 10
    assert {paper for paper in papers if paper not in entries} == set()


def test_the_version_is_the_same_everywhere():
    root = DOCS.parent
    patterns = {
        "imbdet/__init__.py": r'^__version__ = "(.+)"',
        "CITATION.cff": r"^version: (.+)",
        "CHANGELOG.md": r"^## ([\d.]+)",
    }
    versions = {
        file: re.search(pattern, (root / file).read_text(), re.MULTILINE)[1]
        for file, pattern in patterns.items()
    }
    assert len(set(versions.values())) == 1, versions
