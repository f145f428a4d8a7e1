"""The examples that have a loop of their own train, and print losses."""

import pytest

from tests.examples.page import example


@pytest.mark.parametrize("name", ["lazy_config.py", "torchvision_retinanet.py"])
def test_an_example_trains_and_prints_its_losses(name, capsys):
    names = {"__name__": "example"}
    exec(example(name), names)
    names["main"](10)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("iteration 10: ")
    values = [float(part.split()[-1]) for part in line.partition(": ")[2].split(", ")]
    assert len(values) == 2
    assert all(value > 0 for value in values)
