"""The evidence for and against methods is what was measured."""

import json
import re
from pathlib import Path

import pytest

import train_net
from imbdet.advice.remedies import LINK, read_problems, renew_tables
from imbdet.config import load_config
from imbdet.config_files.addresses import resolve
from imbdet.config_files.keys import changed_keys
from imbdet.modeling.assigners import build_assigner
from imbdet.modeling.build import build_criterion, build_sampler
from imbdet.modeling.sites import sites_of
from imbdet.modeling.unread_keys import refuse_unread_keys

ROOT = Path(train_net.__file__).parent
DOCS = ROOT / "docs"
REMEDIES = [
    pytest.param(remedy, id=f"{problem.name}-{index}")
    for problem in read_problems()
    for index, remedy in enumerate(problem.remedies)
]
INTERVAL = re.compile(r"[+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\](?:, undecided)?")


def test_the_page_has_the_tables():
    page = (DOCS / "which_method.md").read_text()
    assert renew_tables(page) == page, "run tools/which_method.py"
    for problem in read_problems():
        assert f"## {problem.heading}\n\n<!-- remedies: {problem.name} -->" in page


@pytest.fixture
def results_table(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import results_table

    return results_table


def measure(results_table, results, method, metric):
    """The difference to the first method, as in docs/results.md."""
    content = json.loads((DOCS / "results" / f"{results}.json").read_text())
    if results == "suspects":
        methods, split = results_table.remedies_of(content["detectors"]["retinanet"]), "val"
    else:
        methods, split = content["methods"], results_table.split_of(content)
    return str(results_table.difference(metric, method, methods, split))


@pytest.mark.parametrize("remedy", REMEDIES)
def test_intervals_are_those_that_were_measured(remedy, results_table):
    measured = [measure(results_table, **what) for what in remedy.measured]
    assert INTERVAL.findall(remedy.say("here")) == measured


def section(link):
    """The text of a page from a heading to the next one, or all of it."""
    page, _, anchor = link.partition("#")
    parts = re.split(r"^#+ (.*)$", (DOCS / page).read_text(), flags=re.MULTILINE)
    texts = dict(zip(map(slug, parts[1::2]), parts[2::2], strict=True))
    return texts[anchor] if anchor else " ".join(parts)


def slug(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("remedy", REMEDIES)
def test_other_numbers_are_in_the_sections_that_are_linked(remedy):
    here = remedy.columns["here"]
    texts = [section(link) for _, link in LINK.findall(here)]
    said = INTERVAL.sub("", remedy.say("here"))
    said = re.sub(r"AP\d\d", "", said)
    for number in re.findall(r"\d[\d,.]*\d|\d", said):
        assert any(re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.]*\d)", t) for t in texts), (
            number
        )
    assert texts or not re.search(r"\d", here)


CHOICES = [
    pytest.param(kind, parts, id=f"{problem.name}-{name}-{kind}")
    for problem in read_problems()
    for remedy in problem.remedies
    for name, kinds in remedy.choices.items()
    for kind, parts in kinds.items()
]
DETECTORS = {"one_stage": "retinanet", "two_stage": "faster_rcnn"}


@pytest.mark.parametrize(("kind", "parts"), CHOICES)
def test_a_choice_changes_a_detector_of_its_kind(kind, parts):
    base = f"imbdet://quick_start/{DETECTORS[kind]}.yaml"
    files = [f"imbdet://{part}.yaml" for part in parts if isinstance(part, str)]
    keys = {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}
    cfg = load_config(base, *files, opts=[str(x) for pair in keys.items() for x in pair])
    assert changed_keys(cfg, load_config(base))
    refuse_unread_keys(cfg)
    for own, site in sites_of(cfg):
        build_sampler(own, site), build_criterion(own, site), build_assigner(own, site)


@pytest.mark.parametrize("remedy", REMEDIES)
def test_pieces_of_a_choice_exist(remedy):
    for kinds in remedy.choices.values():
        assert set(kinds) <= set(DETECTORS)
        for parts in kinds.values():
            for part in parts:
                assert isinstance(part, dict) or resolve(f"imbdet://{part}.yaml")


def test_what_is_said_has_no_marks():
    (remedy,) = (r for p in read_problems() for r in p.remedies if "forgotten" in r.columns["try"])
    assert remedy.say("try") == "soft sampling, where objects were forgotten"
