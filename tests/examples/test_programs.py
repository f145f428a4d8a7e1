"""The examples with a loop of their own train, and print losses."""

import re

import pytest

from tests.examples.page import PAGE, ROOT, example

# Numbers of losses, by example.
EXAMPLES = {
    "lazy_config.py": 2,
    "torchvision_fcos.py": 3,
    "torchvision_retinanet.py": 2,
    "transformers_detr.py": 4,
}


@pytest.mark.parametrize(("name", "num_losses"), EXAMPLES.items())
def test_an_example_trains_and_prints_its_losses(name, num_losses, capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    names = {"__name__": "example"}
    exec(example(name), names)
    names["main"](10)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("iteration 10: ")
    values = [float(part.split()[-1]) for part in line.partition(": ")[2].split(", ")]
    assert len(values) == num_losses
    assert all(value > 0 for value in values)


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - {"lazy_config.py"}))
def test_an_example_without_detectron2_is_short(name):
    assert len(example(name).splitlines()) < 60


@pytest.mark.parametrize("name", ["torchvision_retinanet.py", "transformers_detr.py"])
def test_the_page_shows_lines_of_an_example(name):
    section = PAGE.read_text().split(f"`examples/{name}`")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 2
    assert all(block in example(name) for block in blocks)
