"""A training of one method in a process of its own, and what it measured."""

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from imbdet.programs.processes import wait_for

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
SMALL_SHAPES = ROOT / "benchmarks" / "small_shapes.yaml"


# Metrics of all classes, and of the groups of rare, common and frequent ones.
OVERALL = ("AP", "AP50", "AP75")
BY_FREQUENCY = ("APr", "APc", "APf")


class Setting(NamedTuple):
    """Data and schedule.

    Attributes:
        configs: folder of the detectors' configs.
        val: data set for validation.
        test: data set for the test, or None.
        overlay: config file that goes on top of the detector's, or None.
        prefix: prefix of the names of the detectors' configs.
    """

    configs: str
    val: str
    test: str | None
    overlay: Path | None = None
    prefix: str = ""

    def files(self, detector: str) -> list[Path]:
        """The config files of a detector."""
        file = CONFIGS / self.configs / f"{self.prefix}{detector}.yaml"
        return [file] if self.overlay is None else [file, self.overlay]


SETTINGS = {
    "shapes": Setting("quick_start", "shapes_val", None),
    "small_shapes": Setting("quick_start", "shapes_val", None, SMALL_SHAPES),
    "bccd": Setting("BCCD", "bccd_val", "bccd_test"),
    "bccd_pretrained": Setting("BCCD", "bccd_val", "bccd_test", prefix="pretrained_"),
    "aquarium": Setting("Aquarium", "aquarium_val", "aquarium_test"),
    "debris": Setting("Debris", "debris_val", "debris_test"),
    "nuclei": Setting("Nuclei", "nuclei_val", "nuclei_test"),
    "nuclei_one_anchor": Setting("Nuclei", "nuclei_val", "nuclei_test", prefix="one_anchor_"),
}


@dataclass(frozen=True)
class Run:
    """A training.

    Attributes:
        setting: data and schedule.
        files: config files, a later one wins.
        overrides: KEY, VALUE, KEY, VALUE, ...
        folder: folder of everything that it writes.
    """

    setting: Setting
    files: Sequence[Path]
    overrides: Sequence[str]
    folder: Path

    def train(self) -> bool:
        """Train and validate, unless that is done; a training that was stopped goes on.

        Returns:
            Whether it came to its end.
        """
        if _metrics_file(self.folder, self.setting.val).exists():
            return True
        return self._start("training", "--resume", opts=["OUTPUT_DIR", str(self.folder)])

    def test(self) -> bool:
        """Evaluate on the test split, unless that is done; return whether it came to its end."""
        folder = self.folder / "test"
        if _metrics_file(folder, self.setting.test).exists():
            return True
        weights = self.folder / "model_final.pth"
        opts = ["OUTPUT_DIR", str(folder), "MODEL.WEIGHTS", str(weights)]
        opts += ["DATASETS.TEST", f"('{self.setting.test}',)"]
        return self._start("test", "--eval-only", opts=opts)

    def read(self, *, with_test: bool = False) -> dict:
        """What the training measured, see :func:`read_run`, on request with the "test" split."""
        measured = read_run(self.folder)
        if with_test:
            measured["test"] = _read_metrics(self.folder / "test", self.setting.test)
        return measured

    def _start(self, task: str, mode: str, *, opts: Sequence[str]) -> bool:
        command = [sys.executable, str(ROOT / "train_net.py"), mode]
        for file in self.files:
            command += ["--config-file", str(file)]
        command += [*self.overrides, *opts, "TEST.NUM_PICTURES", "0"]
        print(f"{task}: {self.folder}", file=sys.stderr, flush=True)
        status = wait_for(command, stdout=subprocess.DEVNULL)
        if status == 130:
            raise KeyboardInterrupt
        if status != 0:
            print(f"failed: {' '.join(command)}", file=sys.stderr, flush=True)
        return status == 0


def read_run(folder: str | Path) -> dict:
    """What a training with one data set in DATASETS.TEST measured.

    Returns:
        The metrics of the validation split, "val": ``OVERALL``, ``BY_FREQUENCY`` where they are
        known and, of each class, "AP <class>", None where there is none; "s/iter", median seconds
        per iteration, None where a few are all; "not finite", number of losses that are not.
    """
    folder = Path(folder)
    lines = (folder / "metrics.json").read_text().splitlines()
    steps = [step for step in map(json.loads, lines) if "total_loss" in step]
    times = [step["time"] for step in steps if "time" in step]  # not of the first iterations
    losses = [value for step in steps for name, value in step.items() if "loss" in name]
    (dataset,) = (path.name for path in (folder / "inference").iterdir())
    return {
        "val": _read_metrics(folder, dataset),
        "s/iter": statistics.median(times) if times else None,
        "not finite": sum(not math.isfinite(loss) for loss in losses),
    }


def by_choice(runs: Sequence[dict]) -> dict[tuple[str, ...], list[dict]]:
    """The runs of a study by what they chose on each axis: a list with a run for each seed."""
    groups: dict[tuple[str, ...], list[dict]] = {}
    for run in runs:
        groups.setdefault(tuple(run["choices"].values()), []).append(run)
    return groups


def find_pieces(method: str) -> list[Path]:
    """The config files of a method."""
    if method == "plain":
        return []
    pieces = []
    for name in method.split("+"):
        found = [*CONFIGS.glob(f"{name}.yaml")] or sorted(CONFIGS.glob(f"*-{name}.yaml"))
        if not found:
            sys.exit(f"error: there is no piece '{name}' in {CONFIGS}")
        if len(found) > 1:
            names = " and ".join(f"'{path.stem}'" for path in found)
            sys.exit(f"error: the piece '{name}' may be {names}: write one of these")
        pieces.append(found[0])
    return pieces


def _metrics_file(folder: Path, dataset: str) -> Path:
    return folder / "inference" / dataset / "metrics.json"


def _read_metrics(folder: Path, dataset: str) -> dict[str, float | None]:
    metrics = json.loads(_metrics_file(folder, dataset).read_text())["metrics"]["bbox"]
    overall, classes = metrics["overall"], metrics["per_class"]
    return {
        **{name: overall[name] for name in (*OVERALL, *BY_FREQUENCY) if name in overall},
        **{f"AP {name}": values["AP"] for name, values in classes.items()},
    }
