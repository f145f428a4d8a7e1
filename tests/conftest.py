import logging
import os
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

# Kernels run by Triton's interpreter where there is no GPU. Triton looks when it is first imported,
# which detectron2 causes, and that is before options are parsed; workers inherit it.
if "--gpu" not in sys.argv and "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["TRITON_INTERPRET"] = "1"

import imbdet.compat  # (before any test imports detectron2)
import imbdet.programs.signals

# A slow machine is no failure, neither in tests by many examples nor in an orderly end; otherwise
# the process of the tests itself would be killed.
imbdet.programs.signals.PATIENCE = 60.0
settings.register_profile("imbdet", deadline=None)
settings.load_profile("imbdet")


def pytest_addoption(parser):
    parser.addoption("--gpu", action="store_true", help="let tests see the GPUs: tests/test_gpu.py")


def pytest_configure(config):
    # The other tests use the CPU, whatever the machine has; so do the programs that they start.
    if not config.getoption("gpu"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_terminal_summary(terminalreporter):
    """Print what was not tested and why, in a line for each reason; a file counts as one test."""
    counts, files = Counter(), defaultdict(set)
    for report in terminalreporter.stats.get("skipped", []):
        path, _, reason = report.longrepr
        reason = reason.removeprefix("Skipped: ")
        counts[reason] += 1
        files[reason].add(Path(path).name)
    for reason, count in counts.items():
        terminalreporter.line(f"{count} skipped in {', '.join(sorted(files[reason]))}: {reason}")


@pytest.fixture
def restored_loggers(monkeypatch):
    """Restore the loggers after tests of programs, which set up the logs of the process."""
    for name in ("detectron2", "fvcore", "imbdet", "py.warnings"):
        logger = logging.getLogger(name)
        for attribute in ("handlers", "level", "propagate"):
            monkeypatch.setattr(logger, attribute, getattr(logger, attribute))
    yield
    logging.captureWarnings(False)


@pytest.fixture(scope="module")
def datasets_dir(tmp_path_factory):
    """The folder in which the data sets of a file's tests are generated."""
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture
def own_datasets(datasets_dir, monkeypatch):
    """Use a folder of its own for data sets that other tests shall not see."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(datasets_dir))
