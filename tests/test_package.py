"""The installed package has its configs, and messages about what is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import imbdet
from imbdet.cli import build_parser, main
from imbdet.config_files import addresses
from tests.test_train_net import CONFIGS, arguments

ROOT = Path(imbdet.__file__).parents[1]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The folder ``imbdet`` of a wheel."""
    source = tmp_path_factory.mktemp("source")
    for name in ("imbdet", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", "built"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return source / "built" / "imbdet"


def test_all_files_travel_in_the_package(package):
    expected = {
        *(Path("configs", file.relative_to(CONFIGS)) for file in CONFIGS.rglob("*.yaml")),
        *(
            file.relative_to(ROOT / "imbdet")
            for file in (ROOT / "imbdet").rglob("*")
            if file.is_file() and file.suffix != ".pyc"
        ),
    }
    assert {file.relative_to(package) for file in package.rglob("*") if file.is_file()} == expected


def test_addresses_are_found_in_an_installed_package(package, monkeypatch):
    here = list(addresses.list_addresses())
    assert "imbdet://PISA.yaml" in here
    monkeypatch.setattr(imbdet, "__file__", str(package / "__init__.py"))
    assert list(addresses.list_addresses()) == here
    found = Path(addresses.resolve("imbdet://quick_start/retinanet.yaml"))
    assert found == package / "configs" / "quick_start" / "retinanet.yaml"


def test_train_net_is_the_same_program(capsys, tmp_path):
    import train_net

    args = arguments("retinanet", tmp_path, "--num-machines", "0")
    assert main(["train", *args]) == train_net.main(args) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == second == "error: --num-machines is 0: at least 1."
    options = {"--resume", "--eval-only", "--num-gpus", "--dist-url"}  # as in detectron2
    with pytest.raises(SystemExit, match="0"):
        build_parser().parse_args(["train", "--help"])
    assert options < set(capsys.readouterr().out.replace(",", " ").split())


def test_a_missing_library_is_said_with_the_extra_that_brings_it(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError(name='matplotlib')")
    result = subprocess.run(
        [sys.executable, "-m", "imbdet.cli", "report", tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    assert result.returncode == 2
    assert "'matplotlib' is not installed: `pip install 'imbdet[programs]'`" in result.stderr
    assert result.stderr.count("\n") == 1
