"""The programs in datasets/ convert without torch and detectron2, whose imports take seconds."""

import os
import subprocess
import sys

import pytest

from tests.formats.test_prepare_bccd import make_voc
from tests.test_configs import CONFIGS

ROOT = CONFIGS.parent


@pytest.mark.parametrize("name", ["prepare_bccd", "prepare_voc"])
def test_neither_torch_nor_detectron2_is_needed(name, tmp_path):
    for heavy in ("torch", "detectron2", "matplotlib"):
        (tmp_path / f"{heavy}.py").write_text("raise ImportError")
    make_voc(tmp_path / "source")
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
    assert "1 image, " in result.stdout
