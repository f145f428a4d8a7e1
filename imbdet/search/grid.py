"""All arms with all seeds, each trained to its end: a search without decisions."""

import argparse
import csv
import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from imbdet.engine.weight_average import SUFFIX
from imbdet.errors import UserError
from imbdet.files import opening_output, replacing
from imbdet.programs.signals import Stopped, passing_on
from imbdet.report.search_tab import SEARCH_FILE
from imbdet.search.chosen_launcher import make_launcher
from imbdet.search.launcher import Launcher
from imbdet.search.overwriting import refuse_overwriting
from imbdet.search.space import Arm, Space
from imbdet.untrusted.reading import read_json
from imbdet.untrusted.schema import NUMBER, Each, require_form
from imbdet.wording import averaged, counted

METRICS = ("AP", "AP50", "AP75")

_NOTE = "grid.json"
_NOTE_FORM = {"arguments": [str], "finished": bool}
_METRICS_FORM = {"metrics": Each({"overall": dict.fromkeys(METRICS, (*NUMBER, type(None)))})}


@dataclass(frozen=True, eq=False)
class Run:
    """A training of a grid.

    Attributes:
        arm: arm that is trained.
        seed: seed of the training.
        folder: OUTPUT_DIR of the training.
    """

    arm: Arm
    seed: int
    folder: Path

    @property
    def choices(self) -> dict[str, str]:
        """Name of the choice on each axis, the learning rate where rates are chosen from."""
        rate = self.arm.learning_rate
        rates = {} if rate is None else {"learning_rate": f"{rate:g}"}
        return {**self.arm.choices, **rates}

    @property
    def note(self) -> Path:
        """The file with the arguments of the training, and whether it is finished."""
        return self.folder / _NOTE

    def is_finished(self) -> bool:
        """Whether the training is finished.

        Raises:
            UserError: the folder is of another run, or the note is damaged.
        """
        if not self.note.exists():
            return False
        note = _read(self.note, _NOTE_FORM, "remove it, and the grid goes on with this training")
        if note["arguments"] != self.arm.arguments(self.seed):
            raise UserError(
                f"'{self.folder}' was trained with other settings ({shlex.join(note['arguments'])})"
                ". Choose another --output, or remove the folder."
            )
        return bool(note["finished"])

    def write_note(self, *, finished: bool) -> None:
        """Write the note into the folder."""
        content = {"arguments": self.arm.arguments(self.seed), "finished": finished}
        with replacing(self.note) as draft:
            draft.write_text(json.dumps(content))

    def read_results(self) -> dict[str, float | None]:
        """The metrics by "<data set>/<kind>/<metric>"; empty if there are none yet.

        The data set of averaged weights is "<data set>_EMA". A metric is None where the data set
        has no objects.

        Raises:
            UserError: the file of the metrics is damaged.
        """
        advice = f"remove it and '{self.note}', and the grid evaluates this training again"
        results = {}
        for weights in ("", SUFFIX):
            for file in sorted(self.folder.glob(f"inference{weights}/*/metrics.json")):
                dataset = file.parent.name + weights
                for kind, metrics in _read(file, _METRICS_FORM, advice)["metrics"].items():
                    for name in METRICS:
                        results[f"{dataset}/{kind}/{name}"] = metrics["overall"][name]
        return results


def _read(path: Path, form: Any, advice: str) -> Any:
    """The content of a JSON file of a training.

    Raises:
        UserError: the file cannot be read or has another form; the message ends with ``advice``.
    """
    try:
        content = read_json(path)
        require_form(content, form, "content")
    except (OSError, ValueError, UserError) as error:
        reason = str(error).rstrip(".")
        raise UserError(f"'{path}' is damaged ({reason}): {advice}.") from error
    return content


def grid_runs(space: Space, output: Path) -> list[Run]:
    """All trainings of a grid, seed after seed."""
    return [
        Run(arm, seed, output / f"{arm.name}-seed_{seed}")
        for seed in space.seeds
        for arm in space.arms.values()
    ]


def holds_grid(output: Path) -> bool:
    """Whether a grid has trained in a folder."""
    return any(output.glob(f"*/{_NOTE}"))


def run_grid(args: argparse.Namespace, space: Space) -> int:
    """Train, then write and print the tables.

    Args:
        args: arguments of ``imbdet search``.
        space: the arms and seeds that are trained.

    Returns:
        The exit status: 1 if trainings failed, which are named.

    Raises:
        Stopped: a signal arrived, and all trainings have ended.
        UserError: choices overwrite each other; a folder is of another run, or a file in it is
            damaged; there is no grid to show; or ``--output`` is of a search or a run, or a file.
    """
    output = Path(args.output)
    if (output / SEARCH_FILE).exists():
        raise UserError(
            f"'{output}' holds a search, whose table.csv a grid would replace: choose another "
            "--output."
        )
    runs = grid_runs(space, output)
    if args.show and not any(run.note.exists() for run in runs):
        raise UserError(
            f"There is no grid of '{space.path}' in '{output}': --show tells of one that was begun "
            "with the same --output."
        )
    if not args.show:
        refuse_overwriting(space)
    with opening_output(output):
        failures = {} if args.show else _train_all(runs, make_launcher(args))
    _write_table(runs, output / "table.csv")
    print(tabulate(_summarize(runs), headers="keys", disable_numparse=True))
    finished = [str(run.folder) for run in runs if run.is_finished()]
    if len(finished) > 1:
        print(f"\nimbdet compare {shlex.join(finished)} --output {output / 'comparison'}")
    for folder, problem in failures.items():
        print(f"error: {folder} failed {problem}", file=sys.stderr)
    return 1 if failures else 0


def _train_all(runs: Sequence[Run], launcher: Launcher) -> dict[Path, str]:
    """Train the runs that are not finished, and return the failures by folder."""
    todo = [run for run in runs if not run.is_finished()]
    print(f"{counted(len(runs), 'run')}, finished: {len(runs) - len(todo)}")
    failures = {}
    with (
        passing_on(lambda _: launcher.stop()) as received,
        ThreadPoolExecutor(launcher.num_places) as pool,
    ):
        jobs = {pool.submit(_train, run, launcher): run for run in todo}
        for job in as_completed(jobs):
            run, problem = jobs[job], job.result()
            if received:
                continue
            print(f"{'FAILED' if problem else 'done'}: {run.folder} {problem}", flush=True)
            if problem:
                failures[run.folder] = problem
    if received:
        raise Stopped(received[0], "The same command goes on.")
    return failures


def _train(run: Run, launcher: Launcher) -> str:
    """Train one run, and return what went wrong, "" for nothing."""
    try:
        run.write_note(finished=False)
        problem = launcher.train(run.arm.arguments(run.seed), run.folder).problem
        if not problem:
            run.write_note(finished=True)
    except UserError as error:  # no space for the note, ...
        problem = f"with {error}"
    return problem


def _write_table(runs: Sequence[Run], path: Path) -> None:
    """Write a line of CSV for each run: choices, metrics, whether it is finished, its folder."""
    rows = [
        {
            **run.choices,
            "seed": run.seed,
            **run.read_results(),
            "finished": run.is_finished(),
            "folder": run.folder,
        }
        for run in runs
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as draft, open(draft, "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _summarize(runs: Sequence[Run]) -> Iterator[dict[str, str]]:
    """The mean and standard deviation of each arm's metrics over its finished runs."""
    by_arm = defaultdict(list)
    for run in runs:
        by_arm[run.arm.name].append(run)
    for of_arm in by_arm.values():
        results = [run.read_results() for run in of_arm if run.is_finished()]
        row = {**of_arm[0].choices, "runs": str(len(results))}
        for name in dict.fromkeys(name for result in results for name in result):
            row[name] = averaged([result.get(name) for result in results], digits=1)
        yield row
