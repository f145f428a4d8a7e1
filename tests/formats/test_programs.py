"""The programs in datasets/ convert without torch and detectron2, whose imports take seconds."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.formats.test_prepare_bccd import make_voc
from tests.formats.test_split_coco import content_of
from tests.test_configs import CONFIGS

ROOT = CONFIGS.parent


def make_coco(file):
    file.write_text(json.dumps(content_of(20)))


SOURCES = {"prepare_bccd": make_voc, "prepare_voc": make_voc, "split_coco": make_coco}


@pytest.mark.parametrize(("name", "make_source"), SOURCES.items(), ids=SOURCES.keys())
def test_neither_torch_nor_detectron2_is_needed(name, make_source, tmp_path):
    for heavy in ("torch", "detectron2", "matplotlib"):
        (tmp_path / f"{heavy}.py").write_text("raise ImportError")
    make_source(tmp_path / "source")
    program = ROOT / "datasets" / f"{name}.py"
    result = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "source")],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "DETECTRON2_DATASETS": str(tmp_path / "datasets"),
        },
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"\b\d+ images?, ", result.stdout)
