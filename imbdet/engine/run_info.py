"""Writes ``run.json``: commands, data, machines and settings of the starts of a run."""

import importlib.metadata
import json
import logging
import platform
import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

from imbdet.config import load_config
from imbdet.config_files.keys import changed_keys
from imbdet.data.summary import DataSummary
from imbdet.files import replacing
from imbdet.modeling.chosen_methods import chosen_methods
from imbdet.untrusted.reading import read_json

logger = logging.getLogger(__name__)

# Size limit of run.json, enough for thousands of starts.
MAX_BYTES = 1 << 24


def write_run_info(
    cfg: CfgNode,
    args: Namespace,
    task: str,
    packages: Sequence[ModuleType],
    data: DataSummary | None = None,
) -> None:
    """Add a start to ``OUTPUT_DIR/run.json``, a list with the latest one last.

    A training from the beginning starts a new list. A list that cannot be read is replaced, with a
    warning.

    Args:
        cfg: the config.
        args: arguments with ``config_file``, ``opts`` and ``resume``.
        task: name of the task, such as "training".
        packages: packages whose versions are written.
        data: summary of the data of a training; None for other tasks.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(cfg.OUTPUT_DIR) / "run.json"
    goes_on = args.resume or task != "training"
    starts = [*(_read(path) if goes_on else []), _describe(cfg, args, task, packages, data)]
    with replacing(path) as draft:
        draft.write_text(json.dumps(starts, indent=1) + "\n")


def _describe(
    cfg: CfgNode,
    args: Namespace,
    task: str,
    packages: Sequence[ModuleType],
    data: DataSummary | None = None,
) -> dict[str, Any]:
    changes = changed_keys(cfg, load_config())
    return {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": shlex.join([_program(Path(sys.argv[0])), *sys.argv[1:]]),
        "task": task,
        "resume": args.resume,
        "config_files": list(args.config_file),
        "overrides": dict(zip(args.opts[::2], args.opts[1::2], strict=True)),
        "changed_keys": {key: values for key, values in changes.items() if key != "OUTPUT_DIR"},
        "methods": chosen_methods(cfg),
        "seed": cfg.SEED if cfg.SEED >= 0 else None,
        "datasets": {"train": list(cfg.DATASETS.TRAIN), "test": list(cfg.DATASETS.TEST)},
        "data": None if data is None else data.state(),
        "device": cfg.MODEL.DEVICE,
        "gpu": torch.cuda.get_device_name() if cfg.MODEL.DEVICE.startswith("cuda") else None,
        "num_processes": comm.get_world_size(),
        "platform": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            **{package.__name__: _version(package) for package in packages},
        },
    }


def _version(package: ModuleType) -> str:
    """The version, and the commit of a package that was installed from a repository of git."""
    try:
        text = importlib.metadata.distribution(package.__name__).read_text("direct_url.json")
        source = json.loads(text or "{}")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        source = {}
    commit = source.get("vcs_info", {}).get("commit_id")
    if commit is None and "dir_info" in source:
        commit = _commit_of(url2pathname(urlparse(source["url"]).path))
    return f"{package.__version__}, commit {commit[:10]}" if commit else str(package.__version__)


def _commit_of(folder: str) -> str | None:
    """The commit that is checked out in a folder; None if it is missing or no repository."""
    command = ["git", "-C", folder, "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _program(path: Path) -> str:
    """The name of a program; "imbdet" for ``python -m imbdet.cli``."""
    return "imbdet" if path.name == "__main__.py" else path.name


def _read(path: Path) -> list[Any]:
    try:
        starts = read_json(path, max_bytes=MAX_BYTES)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        problem = str(error)
    else:
        if isinstance(starts, list):
            return starts
        problem = "it is no list"
    logger.warning(
        f"'{path}' is damaged ({problem}): what was started before this is no longer known."
    )
    return []
