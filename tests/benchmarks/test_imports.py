"""The order of imports: without it benchmarks need detectron2's compiled operators to start."""

import re

from tests.test_configs import CONFIGS

# Their imports make detectron2 importable.
FIRST = re.compile(r"^from (imbdet\.(config|data|engine|modeling)|detectors)\b", re.MULTILINE)


def test_imbdet_comes_before_detectron2():
    benchmarks = {
        path.name: path.read_text() for path in (CONFIGS.parent / "benchmarks").glob("*.py")
    }
    users = {name: text for name, text in benchmarks.items() if "\nfrom detectron2" in text}
    assert {"detectors.py", "scaling.py"} <= users.keys()
    for name, text in users.items():
        assert FIRST.search(text.split("\nfrom detectron2")[0]), name
