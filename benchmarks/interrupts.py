#!/usr/bin/env python
"""Send signals to all programs at random moments, and count how they end.

    python benchmarks/interrupts.py --tries 20
    python benchmarks/interrupts.py predict "train, 2 processes" --tries 50

Each program runs on small data, first undisturbed, which tells how long it takes, then again and
again. At a random moment between the one when it begins to listen and its end, SIGINT or SIGTERM
goes to it alone or to all of its processes, as from a terminal. It must end within 5 seconds, with
130 or 143 and a sentence, and leave neither processes nor files that it had begun to write.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
# Seconds within which a program must end, and after which it is given up.
LIMIT, GIVE_UP = 5.0, 60.0
KEYS = {
    "MODEL.FPN.OUT_CHANNELS": 16,
    "DATASETS.SHAPES.NUM_TRAIN": 40,
    "DATASETS.SHAPES.NUM_VAL": 20,
    "DATASETS.SHAPES.IMAGE_SIZE": 64,
    "DATASETS.SHAPES.OBJECT_SIZE": "(8, 32)",
    "INPUT.MIN_SIZE_TRAIN": "(64,)",
    "INPUT.MIN_SIZE_TEST": 64,
    "SOLVER.MAX_ITER": 20,
    "SOLVER.STEPS": "()",
    "SOLVER.IMS_PER_BATCH": 4,
    "SOLVER.CHECKPOINT_PERIOD": 5,
    "DATALOADER.NUM_WORKERS": 2,
    "TEST.NUM_PICTURES": 2,
}
VOC = """<annotation><filename>{name}.png</filename>
<size><width>64</width><height>64</height><depth>3</depth></size>
<object><name>RBC</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>
</object></annotation>"""


@dataclass(frozen=True)
class Program:
    """A program that is interrupted.

    Attributes:
        command: words after "python"; in the working directory, "new" is not there yet, "old"
            and "other" are trainings, and one that was not finite is "broken".
        new_data: whether it generates its data anew.
    """

    command: Sequence[str]
    new_data: bool = False


@dataclass(frozen=True)
class End:
    """How a program ended after a signal.

    Attributes:
        what: description of the signal, such as "SIGINT to all 3.41 s after the start".
        seconds: seconds until its end.
        faults: faults of its end, in words.
    """

    what: str
    seconds: float
    faults: Sequence[str]


def programs() -> dict[str, Program]:
    """All programs, by name."""
    config = ["--config-file", str(ROOT / "configs" / "quick_start" / "retinanet.yaml")]
    keys = [str(x) for pair in KEYS.items() for x in pair]
    train = [str(ROOT / "train_net.py"), *config]
    imbdet = ["-m", "imbdet.cli"]
    weights, output = ["--weights", "old/model_final.pth"], ["--output", "new"]
    new = ["OUTPUT_DIR", "new", *keys]
    evaluate = ["--eval-only", *new, "MODEL.WEIGHTS", "old/model_final.pth"]
    space = ["--space", "space.yaml", "--parallel", "2"]
    prepare_bccd = [str(ROOT / "datasets" / "prepare_bccd.py"), "voc"]
    prepare_voc = [str(ROOT / "datasets" / "prepare_voc.py"), "voc"]
    return {
        "train": Program([*train, *new], new_data=True),
        "train, 2 processes": Program([*train, "--num-processes", "2", *new], new_data=True),
        "evaluate": Program([*train, *evaluate]),
        "search --grid": Program([*imbdet, "search", "--grid", *space, *output]),
        "prepare_bccd": Program(prepare_bccd, new_data=True),
        "prepare_voc": Program(prepare_voc),
        "methods": Program([*imbdet, "methods"]),
        "config check": Program([*imbdet, "config", "check", *config, *keys]),
        "predict": Program(
            [*imbdet, "predict", *config, *weights, "--images", "images", *output, *keys]
        ),
        "analyze": Program([*imbdet, "analyze", *config, *weights, *output, *keys]),
        "compare": Program([*imbdet, "compare", "old", "other", *output]),
        "report": Program([*imbdet, "report", "old"]),
        "replay": Program([*imbdet, "replay", "broken/watch/iteration_0000001_rank0.pth"]),
        "demo": Program([*imbdet, "demo", "retinanet", *new]),
    }


class Bench:
    """A folder with the data of the programs, in which they run."""

    def __init__(self, root: Path, generator: np.random.Generator) -> None:
        self._root = root
        self._generator = generator

    def prepare(self) -> None:
        """Train twice and a third time without success, and make what other programs read."""
        train = programs()["train"].command
        for name in ("old", "other"):
            keys = ["OUTPUT_DIR", name, "SOLVER.MAX_ITER", "4"]
            self._check(self._start(Program([*train, *keys])))
        keys = ["OUTPUT_DIR", "broken", "SOLVER.BASE_LR", "1e30", "SOLVER.WARMUP_ITERS", "0"]
        self._check(self._start(Program([*train, *keys])), status=2)
        images = next((self._root / "datasets").glob("shapes-*/train"))
        shutil.copytree(images, self._root / "images")
        config = ROOT / "configs" / "quick_start" / "retinanet.yaml"
        space = {"base": [str(config)], "seeds": [1, 2], "overrides": KEYS}
        (self._root / "space.yaml").write_text(json.dumps(space))
        voc = self._root / "voc" / "BCCD"
        for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (voc / name).mkdir(parents=True)
        names = sorted(path.stem for path in images.iterdir())
        for name in names:
            shutil.copyfile(images / f"{name}.png", voc / "JPEGImages" / f"{name}.jpg")
            (voc / "Annotations" / f"{name}.xml").write_text(VOC.format(name=name))
        for i, split in enumerate(("train", "val", "test")):
            lines = "\n".join(names[i::3])
            (voc / "ImageSets" / "Main" / f"{split}.txt").write_text(lines)

    def run(self, program: Program) -> float:
        """Run it undisturbed, and return the seconds from when it listens to its end.

        Raises:
            RuntimeError: the program fails.
        """
        process = self._start(program)
        _wait_until_listening(process)
        begin = time.monotonic()
        self._check(process)
        return time.monotonic() - begin

    def interrupt(self, program: Program, duration: float) -> End | None:
        """Send a signal within ``duration`` seconds; None if the program ended before it."""
        number = (signal.SIGINT, signal.SIGTERM)[self._generator.integers(2)]
        to_all = bool(self._generator.integers(2))
        delay = float(self._generator.uniform(0, duration))
        process = self._start(program)
        _wait_until_listening(process)
        time.sleep(delay)
        if not _is_listening(process):
            process.wait()
            return None
        begin = time.monotonic()
        (os.killpg if to_all else os.kill)(process.pid, number)
        try:
            status = process.wait(GIVE_UP)
        except subprocess.TimeoutExpired:
            status = None
        seconds = time.monotonic() - begin
        faults = [*self._leftovers(process.pid)]
        if status != 128 + number:
            faults.append(f"status {status}")
        if seconds > LIMIT:
            faults.append(f"{seconds:.1f} s")
        said = (self._root / "console.txt").read_text()
        if "Traceback" in said or "Stopped." not in said:
            faults.append(f"said {said[-600:]!r}")
        what = f"{number.name} to {'all' if to_all else 'one'} {delay:.2f} s after it listened"
        return End(what, seconds, faults)

    def _check(self, process: subprocess.Popen, status: int = 0) -> None:
        if process.wait() != status:
            raise RuntimeError((self._root / "console.txt").read_text())

    def _start(self, program: Program) -> subprocess.Popen:
        datasets = self._root / ("new_datasets" if program.new_data else "datasets")
        for folder in ("new", "new_datasets", "tmp"):
            shutil.rmtree(self._root / folder, ignore_errors=True)
        (self._root / "tmp").mkdir()
        environment = {
            "DETECTRON2_DATASETS": str(datasets),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self._root / "tmp"),
            "TORCHINDUCTOR_CACHE_DIR": str(self._root / "cache"),
        }
        with open(self._root / "console.txt", "wb") as console:
            return subprocess.Popen(
                [sys.executable, *program.command],
                cwd=self._root,
                env={**os.environ, **environment},
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def _leftovers(self, session: int) -> list[str]:
        """Find processes that are left, and kill them, and files."""
        time.sleep(0.2)
        found = []
        for pid in _processes_of(session):
            found.append(f"process {pid} is left")
            os.kill(pid, signal.SIGKILL)
        drafts = [*self._root.rglob(".*.tmp"), *(self._root / "tmp").iterdir()]
        for folder in ("datasets", "new_datasets"):
            drafts += (self._root / folder).glob(".*")
        return found + [f"'{path.relative_to(self._root)}' is left" for path in drafts]


def _wait_until_listening(process: subprocess.Popen) -> None:
    """Wait until there is a handler of SIGTERM; before, Python itself is starting."""
    while process.poll() is None and not _is_listening(process):
        time.sleep(0.002)


def _is_listening(process: subprocess.Popen) -> bool:
    """Whether a process handles SIGTERM; it no longer does when Python shuts down."""
    if process.poll() is not None:
        return False
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt")), None)
    return caught is not None and bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def _processes_of(session: int) -> list[int]:
    """Ids of the living processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[3]) == session:
            found.append(int(path.parent.name))
    return found


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(programs())
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=f"{names} (default: all)")
    parser.add_argument("--tries", type=int, default=20, metavar="N", help="for each (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if unknown := set(args.programs) - set(programs()):
        parser.error(f"no program {', '.join(unknown)}: choose from {names}")
    return args


def main() -> int:
    """Interrupt the programs, and return 0 if all ended as they should."""
    args = parse_args()
    rows, num_faulty = [], 0
    with tempfile.TemporaryDirectory() as root:
        bench = Bench(Path(root), np.random.default_rng(args.seed))
        bench.prepare()
        for name in args.programs or programs():
            program = programs()[name]
            duration = bench.run(program)
            ends: list[End] = []
            while len(ends) < args.tries:
                end = bench.interrupt(program, duration)
                if end is None:
                    continue
                ends.append(end)
                if end.faults:
                    print(f"{name}: {end.what}: {'; '.join(end.faults)}", file=sys.stderr)
            right = sum(not end.faults for end in ends)
            num_faulty += len(ends) - right
            slowest = max(end.seconds for end in ends)
            rows.append([name, f"{duration:.1f}", right, len(ends), f"{slowest:.1f}"])
            print(f"{name}: {right} of {len(ends)}", file=sys.stderr, flush=True)
    print(tabulate(rows, ["program", "takes (s)", "ended right", "of", "slowest end (s)"]))
    return 1 if num_faulty else 0


if __name__ == "__main__":
    sys.exit(main())
