"""From a space and a budget to a winner: trains, decides, compares, and writes what it found."""

import argparse
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imbdet.errors import UserError
from imbdet.files import opening_output
from imbdet.search.checkpoints import CheckpointRemover
from imbdet.search.chosen_launcher import make_launcher
from imbdet.search.findings import (
    FinalFigure,
    arm_rows,
    baseline_of,
    compare_finally,
    sentences,
)
from imbdet.search.grid import holds_grid
from imbdet.search.halving import Measured, Plan, Progress, Task, advance, dropped_for_good
from imbdet.search.launcher import Launcher
from imbdet.search.overwriting import refuse_overwriting
from imbdet.search.results import print_table, write_results, write_winner
from imbdet.search.searched_configs import check_arms
from imbdet.search.space import Final, Space
from imbdet.search.stage import Stage, training_folder
from imbdet.search.storage import holds_study, naming_storage, open_storage, sqlite_url
from imbdet.search.trials import Trials
from imbdet.wording import counted

# Name of the study in the storage.
_NAME = "imbdet"


@dataclass(frozen=True, eq=False)
class Search:
    """A search in its folder, and its storage, which other programs may work on as well.

    Attributes:
        space: the space of arms.
        plan: plan of the search.
        output: folder of the search.
        dataset: name of the validation set.
        final: data set and seeds of the final comparison.
        trials: trials of the search.
        final_trials: trials of the final comparison.
        remover: removes checkpoints in the folder.
    """

    space: Space
    plan: Plan
    output: Path
    dataset: str
    final: Final
    trials: Trials
    final_trials: Trials
    remover: CheckpointRemover = field(default_factory=CheckpointRemover)

    def run(self, launcher: Launcher) -> None:
        """Train until all is decided or the budget is spent, then compare.

        Raises:
            Stopped: a signal arrived, and all trainings have ended.
            UserError: the search cannot go on.
        """
        end = self.plan.rungs[-1]
        arms = self.space.arms
        print(
            f"{counted(len(arms), 'arm')} with {counted(len(self.plan.seeds), 'seed')} are trained "
            f"in '{self._folder}'; --show tells how far it is.",
            flush=True,
        )
        Stage(self.trials, self._decide, arms, self._folder, self.dataset, end).run(launcher)
        progress = advance(self.plan, *self.trials.read())
        if progress.winner is None:
            reason = next(f.reason for f in progress.fates.values() if f.kind == "failed")
            raise UserError(
                "All trainings that were left failed, so nothing is found. One failed "
                f"{reason.rstrip('.')}. Put it right, then the same command with --retry-failed "
                "goes on."
            )
        folder = self.output / "final"
        tasks = self._final_tasks(progress)
        Stage(
            self.final_trials,
            lambda measured, failed: _still_due(tasks, measured, failed),
            arms,
            folder,
            self.final.dataset,
            end,
        ).run(launcher)
        self._remove_checkpoints(("worse", "rate", "failed"), progress, *self.trials.read())

    def show(self) -> None:
        """Write and print what is found so far."""
        measured, failed = self.trials.read()
        progress = advance(self.plan, measured, failed)
        tasks = self._final_tasks(progress)
        measured_finally, failed_finally = self.final_trials.read()
        final = self._final_figure(progress, tasks, measured_finally)
        rows = arm_rows(self.plan, progress, measured)
        failures = [task for task in tasks if task in failed_finally]
        said = sentences(self.space, self.plan, progress, final, failures)
        write_results(self.output, rows, said, final, measured)
        if progress.winner is not None:
            arm = self.space.arms[progress.winner]
            write_winner(self.output / "winner.yaml", arm, said)
        print_table(rows, said)
        print(f"\nEverything is in '{self.output}', on one page in report.html.")

    def folder_of(self, task: Task) -> Path:
        """The OUTPUT_DIR of a training that the search decides by."""
        return training_folder(self._folder, task)

    @property
    def _folder(self) -> Path:
        """The folder of the trainings that the search decides by."""
        return self.output / "trainings"

    def _decide(self, measured: Mapping[Task, Measured], failed: Mapping[Task, str]) -> list[Task]:
        progress = advance(self.plan, measured, failed)
        self.trials.prune(list(progress.fates))
        # A failure may be corrected until the end.
        self._remove_checkpoints(("worse", "rate"), progress, measured, failed)
        return progress.due

    def _remove_checkpoints(
        self,
        kinds: Container[str],
        progress: Progress,
        measured: Mapping[Task, Measured],
        failed: Mapping[Task, str],
    ) -> None:
        """Remove those of arms that are dropped for good, by such a fate, before their end."""
        fates = dropped_for_good(self.plan, progress, measured, failed)
        arms = [arm for arm, fate in fates.items() if fate.kind in kinds]
        ends = [Task(self.plan.rungs[-1], seed, arm) for seed in self.plan.seeds for arm in arms]
        self.remover.remove(self.folder_of(task) for task in ends if task not in measured)

    def _final_tasks(self, progress: Progress) -> list[Task]:
        """The trainings of the final comparison; none while there is no winner."""
        if progress.winner is None:
            return []
        arms = dict.fromkeys([progress.winner, baseline_of(self.plan, progress)])
        return [Task(self.plan.rungs[-1], seed, arm) for seed in self.final.seeds for arm in arms]

    def _final_figure(
        self, progress: Progress, tasks: Sequence[Task], measured: Mapping[Task, Measured]
    ) -> FinalFigure | None:
        if progress.winner is None or not all(task in measured for task in tasks):
            return None
        of_these = {task: measured[task] for task in tasks}
        end, baseline = self.plan.rungs[-1], baseline_of(self.plan, progress)
        return compare_finally(self.final.dataset, of_these, end, progress.winner, baseline)


def _still_due(
    tasks: list[Task], measured: Mapping[Task, Measured], failed: Mapping[Task, str]
) -> list[Task]:
    for task in tasks:
        if task in failed:
            raise UserError(
                f"A training of the final comparison, {task.arm} with seed {task.seed}, failed "
                f"{failed[task].rstrip('.')}. Put it right, then the same command with "
                "--retry-failed goes on."
            )
    return [task for task in tasks if task not in measured]


def open_search(args: argparse.Namespace, space: Space) -> Search:
    """Check everything, and open or begin the search.

    Args:
        args: arguments of ``imbdet search``.
        space: the space of arms.

    Raises:
        UserError: something is missing, does not fit, or is of another search.
    """
    if len(space.seeds) < 2:
        raise UserError(
            f"'{space.path}': with one seed the chance of seeds is not known, and nothing can be "
            "decided: name two seeds or more."
        )
    if space.final is None or len(space.final.seeds) < 2:
        raise UserError(
            f"'{space.path}' says nothing of the end: name a data set and two seeds or more that "
            "the search does not use, as in final: {dataset: my_test, seeds: [11, 12, 13]}."
        )
    used_twice = sorted({*space.seeds} & {*space.final.seeds})
    if used_twice:
        raise UserError(
            f"'{space.path}': the seeds {used_twice} are in seeds and in final.seeds: the final "
            "comparison needs seeds that the search never saw."
        )
    output, url = Path(args.output), _storage_url(args)
    if args.show and not (output.is_dir() and holds_study(url, _NAME)):
        raise UserError(
            f"There is no search in '{output}': --show tells of one that was begun with the same "
            "--output and --storage."
        )
    if holds_grid(output):
        raise UserError(
            f"'{output}' holds a grid, whose table.csv a search would replace: choose another "
            "--output."
        )
    refuse_overwriting(space)
    shared = check_arms(space)
    budget, in_hours = (args.hours, True) if args.hours is not None else (args.iterations, False)
    plan = Plan(space.methods, space.seeds, shared.rungs, budget, in_hours)
    advance(plan, {}, {})  # refuses a budget that is too small
    with opening_output(output):
        storage = open_storage(url)
    about = {
        "arms": {name: list(arm.arguments(0)) for name, arm in space.arms.items()},
        "seeds": list(space.seeds),
        "rungs": list(shared.rungs),
    }
    of_final = {**about, "seeds": list(space.final.seeds), "dataset": space.final.dataset}
    search = Search(
        space,
        plan,
        output,
        shared.dataset,
        space.final,
        Trials(storage, _NAME, about, space.arms),
        Trials(storage, f"{_NAME}-final", of_final, space.arms, "final."),
    )
    _require_trainings(search, url)
    if args.retry_failed:
        search.trials.retry_failed()
        search.final_trials.retry_failed()
    return search


def _require_trainings(search: Search, url: str) -> None:
    """Refuse a storage whose search has its trainings in another folder.

    Raises:
        UserError: the folder has none of the trainings.
    """
    measured, _ = search.trials.read()
    folders = [search.folder_of(task) for task in measured]
    if folders and not any(folder.is_dir() for folder in folders):
        raise UserError(
            f"The storage '{url}' holds a search whose trainings are not in '{search.output}', "
            f"such as '{folders[0]}': name the --output of that search, or another --storage for "
            "a new one."
        )


def _storage_url(args: argparse.Namespace) -> str:
    return args.storage or sqlite_url(Path(args.output) / "search.db")


def run_search(args: argparse.Namespace, space: Space) -> None:
    """Search, and write the results into the folder, however the search ends.

    Raises:
        Stopped: a signal arrived, and all trainings have ended.
        UserError: see :func:`open_search`; or the storage can no longer be used.
    """
    with naming_storage(_storage_url(args)):
        search = open_search(args, space)
        launcher = None if args.show else make_launcher(args)
        try:
            if launcher is not None:
                search.run(launcher)
        finally:
            search.show()
