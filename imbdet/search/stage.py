"""Works through trainings until nothing is due: those of a search, or of its final comparison."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from imbdet.engine.checkpoint_folder import CheckpointFolder
from imbdet.programs.signals import Stopped, passing_on
from imbdet.search.halving import Measured, Task
from imbdet.search.launcher import Launcher
from imbdet.search.reached_ap import reached_ap
from imbdet.search.space import Arm
from imbdet.search.storage import PATIENCE
from imbdet.search.trials import Trials

# Seconds between checks of other programs' results, where these do all that is due.
_PERIOD = 2.0

Decide = Callable[[Mapping[Task, Measured], Mapping[Task, str]], Sequence[Task]]


def training_folder(root: Path, task: Task) -> Path:
    """The OUTPUT_DIR of a training.

    Args:
        root: folder of all trainings of a stage.
        task: task of the training.
    """
    return root / f"{task.arm}-seed_{task.seed}"


@dataclass(frozen=True, eq=False)
class Stage:
    """Trainings that are evaluated on one data set.

    Attributes:
        trials: trials, which other programs may share.
        decide: function from the results and the failures to the tasks that are due.
        arms: arms by name.
        folder: folder of the trainings.
        dataset: name of the data set to evaluate on.
        end: the last iteration.
    """

    trials: Trials
    decide: Decide
    arms: Mapping[str, Arm]
    folder: Path
    dataset: str
    end: int
    _own: set[int] = field(default_factory=set, init=False)  # trials that are trained here
    _has_told: threading.Event = field(default_factory=threading.Event, init=False)

    def run(self, launcher: Launcher) -> None:
        """Train until nothing is due.

        Raises:
            Stopped: a signal arrived, and all trainings have ended.
            UserError: the search cannot go on.
        """
        with (
            passing_on(lambda _: launcher.stop()) as received,
            ThreadPoolExecutor(launcher.num_places) as pool,
        ):
            workers = [pool.submit(self._work, launcher) for _ in range(launcher.num_places)]
            wait(workers, return_when=FIRST_EXCEPTION)
            if any(worker.done() and worker.exception() for worker in workers):
                launcher.stop()
        if received:
            raise Stopped(received[0], "The same command goes on.")
        for worker in workers:
            worker.result()

    def _work(self, launcher: Launcher) -> None:
        """Do the due tasks on one place, until there are none."""
        while not launcher.is_stopping:
            due = self.decide(*self.trials.read())
            if not due:
                return
            claimed = self.trials.claim(due)
            if claimed is None:
                self._tell_of_others()
                launcher.wait(_PERIOD)
                continue
            task, trial_id = claimed
            self._own.add(trial_id)
            try:
                self._train(launcher, task, trial_id)
            finally:
                self._own.discard(trial_id)

    def _tell_of_others(self) -> None:
        """Print once why nothing is trained here."""
        if not self._own and not self._has_told.is_set():
            self._has_told.set()
            print(
                "Other programs train all that is due now, and this one waits. A training that "
                f"nobody has heard of for {PATIENCE} seconds is taken over.",
                flush=True,
            )

    def _train(self, launcher: Launcher, task: Task, trial_id: int) -> None:
        folder = training_folder(self.folder, task)
        arguments = ["--until", str(task.iteration), *self.arms[task.arm].arguments(task.seed)]
        arguments += ["DATASETS.TEST", repr((self.dataset,))]
        with self.trials.beating(trial_id):
            end = launcher.train(arguments, folder)
            if end.is_stopped:
                self.trials.release(trial_id, task, seconds=end.seconds)
                return
            if end.problem:
                self.trials.report_failure(trial_id, task, end.problem)
                print(f"FAILED: {folder} {end.problem}", flush=True)
                return
            try:
                ap, num_images = reached_ap(folder, self.dataset)
                CheckpointFolder(folder).keep_tagged()
            except Exception:  # after any error, another program may go on
                self.trials.release(trial_id, task, seconds=end.seconds)
                raise
        seconds = self.trials.seconds_before(trial_id, task) + end.seconds
        measured = Measured(ap, num_images, seconds)
        self.trials.report(trial_id, task, measured, is_end=task.iteration == self.end)
        print(f"{folder}: AP {ap[0]:.1f} at iteration {task.iteration:,}", flush=True)
