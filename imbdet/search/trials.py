"""The trainings of a search in a database, as trials of an Optuna study that many may work on.

A trial is a training: an arm with a seed. It waits, runs to a rung, and waits again, until it comes
to its end (complete), its arm is dropped (pruned) or it fails. Optuna's own pruners judge a trial
by one number and know nothing of seeds and images; :mod:`imbdet.search.halving` decides which arms
are dropped, and Optuna is told, so that its dashboard and its plots show it.

Several programs may work on the same study. A trial is claimed by a change of its state that the
database lets one of them make. The program that has claimed a trial sends heartbeats to the
database; if they cease for long, another one may go on with the trial.
"""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from imbdet.errors import UserError
from imbdet.search.halving import Measured, Task
from imbdet.search.space import Arm
from imbdet.search.storage import HEARTBEAT

# Version of the content of a study, to be raised with every change of it.
VERSION = 1

_ABOUT = "imbdet"
_LIVE = (TrialState.WAITING, TrialState.RUNNING)


class Trials:
    """The trials of a study.

    Args:
        storage: see :func:`imbdet.search.storage.open_storage`.
        name: name of the study in it.
        about: description of the search as JSON values, equal in all programs that work on it.
        arms: arms by name.
        place: prefix of the names in ``about`` for messages, such as "final.".

    Raises:
        UserError: the study is of another search.
    """

    def __init__(
        self,
        storage: RDBStorage,
        name: str,
        about: Mapping[str, Any],
        arms: Mapping[str, Arm],
        place: str = "",
    ) -> None:
        self._storage, self._arms = storage, arms
        self._study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        self._id = storage.get_study_id_from_name(name)
        self._lock = threading.RLock()
        about = {"version": VERSION, **about}
        if _ABOUT not in self._study.user_attrs:
            self._study.set_user_attr(_ABOUT, about)
        _require_same(self._study.user_attrs[_ABOUT], about, storage.url, place)

    def read(self) -> tuple[dict[Task, Measured], dict[Task, str]]:
        """The results of trainings, and the messages of those that failed."""
        return results_of(self._all())

    def claim(self, due: Sequence[Task]) -> tuple[Task, int] | None:
        """Take the first task that no other program works on.

        Returns:
            The task and the id of its trial; None if other programs work on all of them.
        """
        with self._lock:
            fail_stale_trials(self._study)
            found = self._all()
            for task in due:
                if not _live(task, found):
                    self._add(task)
                    found = self._all()
                # Two programs may have added one at the same time: the first one counts for both.
                first = min(_live(task, found), key=lambda trial: trial.number)
                if first.state == TrialState.WAITING and self._take(self._id_of(first), task):
                    return task, self._id_of(first)
        return None

    def _take(self, trial_id: int, task: Task) -> bool:
        """Claim a trial, unless another program has claimed it or done its task."""
        self._storage.record_heartbeat(trial_id)
        try:
            is_ours = self._storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        except optuna.exceptions.UpdateFinishedTrialError:  # another program brought it to its end
            return False
        if not is_ours:
            return False
        if not any(task in results for results in self.read()):
            return True
        self._storage.set_trial_state_values(trial_id, TrialState.WAITING)
        return False

    @contextlib.contextmanager
    def beating(self, trial_id: int) -> Iterator[None]:
        """Send heartbeats until the end of the block, so that others leave the trial alone."""
        is_over = threading.Event()

        def beat() -> None:
            while not is_over.wait(HEARTBEAT):
                # A database that is out of reach for a while gets the next one.
                with self._lock, contextlib.suppress(optuna.exceptions.StorageInternalError):
                    self._storage.record_heartbeat(trial_id)

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def report(self, trial_id: int, task: Task, measured: Measured, *, is_end: bool) -> None:
        """Store the result of a training, and let it wait for the next rung.

        Args:
            trial_id: id of a trial that was claimed.
            task: task that is done.
            measured: result of the training.
            is_end: whether there is no further rung.
        """
        value = float(measured.ap[0])
        content = {
            "ap": measured.ap.tolist(),
            "images": measured.num_images,
            "seconds": measured.seconds,
        }
        with self._changing():
            self._storage.set_trial_intermediate_value(trial_id, task.iteration, value)
            self._storage.set_trial_user_attr(trial_id, f"reached {task.iteration}", content)
            if is_end:
                self._storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])
            else:
                self._storage.set_trial_state_values(trial_id, TrialState.WAITING)

    def report_failure(self, trial_id: int, task: Task, text: str) -> None:
        """Store the message of a training that failed."""
        with self._changing():
            self._storage.set_trial_user_attr(trial_id, f"failed {task.iteration}", text)
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def release(self, trial_id: int, task: Task, *, seconds: float) -> None:
        """Let a trial that was stopped before its rung wait until a program goes on with it.

        Args:
            trial_id: id of a trial that was claimed.
            task: task that is not done.
            seconds: seconds of work on it.
        """
        with self._changing():
            before = self.seconds_before(trial_id, task)
            self._storage.set_trial_user_attr(
                trial_id, f"stopped {task.iteration}", before + seconds
            )
            self._storage.set_trial_state_values(trial_id, TrialState.WAITING)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Ignore changes of a claimed trial that was given to another program since."""
        with self._lock, contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            yield

    def seconds_before(self, trial_id: int, task: Task) -> float:
        """Seconds of earlier work on a task that was stopped."""
        attributes = self._storage.get_trial(trial_id).user_attrs
        return float(attributes.get(f"stopped {task.iteration}", 0.0))

    def prune(self, arms: Sequence[str]) -> None:
        """Mark the waiting trials of these arms as pruned."""
        with self._lock:
            for trial in self._all():
                if trial.user_attrs["arm"] in arms and trial.state == TrialState.WAITING:
                    values = [*trial.intermediate_values.values()][-1:] or None
                    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                        self._storage.set_trial_state_values(
                            self._id_of(trial), TrialState.PRUNED, values
                        )

    def retry_failed(self) -> None:
        """Let trainings that failed begin once more."""
        _, failed = self.read()
        for task in failed:
            self._add(task)

    def _add(self, task: Task) -> None:
        arm = self._arms[task.arm]
        params: dict[str, Any] = {**arm.choices, "seed": task.seed}
        if arm.learning_rate is not None:
            params["learning_rate"] = arm.learning_rate
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=params,
                distributions={
                    name: CategoricalDistribution(self._options(name)) for name in params
                },
                user_attrs={"arm": task.arm, "seed": task.seed},
            )
        )

    def _options(self, name: str) -> list[Any]:
        """All values of a parameter, which Optuna requires to be the same for all trials."""
        if name == "seed":
            return list(self._study.user_attrs[_ABOUT]["seeds"])
        if name == "learning_rate":
            return list(dict.fromkeys(arm.learning_rate for arm in self._arms.values()))
        return list(dict.fromkeys(arm.choices[name] for arm in self._arms.values()))

    def _all(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _id_of(self, trial: FrozenTrial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number)


def results_of(trials: Sequence[FrozenTrial]) -> tuple[dict[Task, Measured], dict[Task, str]]:
    """The results of the trials of a study, and the messages of those that failed."""
    measured: dict[Task, Measured] = {}
    failed: dict[Task, str] = {}
    for trial in trials:
        seed, arm = trial.user_attrs["seed"], trial.user_attrs["arm"]
        for name, content in trial.user_attrs.items():
            kind, _, iteration = name.partition(" ")
            if kind == "reached":
                found = Measured(np.array(content["ap"]), content["images"], content["seconds"])
                measured[Task(int(iteration), seed, arm)] = found
            elif kind == "failed":
                failed[Task(int(iteration), seed, arm)] = content
    return measured, {
        task: text
        for task, text in failed.items()
        # Trainings that begin once more, or have reached the rung since, have not failed.
        if task not in measured and not _live(task, trials)
    }


def _live(task: Task, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials of a task that are neither at their end nor given up."""
    return [
        trial
        for trial in trials
        if trial.state in _LIVE
        and (trial.user_attrs["seed"], trial.user_attrs["arm"]) == (task.seed, task.arm)
    ]


def _require_same(kept: Mapping[str, Any], about: Mapping[str, Any], url: str, place: str) -> None:
    if kept.get("version") != about["version"]:
        raise UserError(
            f"The storage '{url}' holds a search of another version of imbdet (form "
            f"{kept.get('version')}, here {about['version']}): go on with that version, or choose "
            "another --output, and another --storage if you name one."
        )
    differing = [
        f"{place}{name}"
        for name, value in about.items()
        # The order counts: the first arm is the baseline's, and Optuna requires that of choices.
        if json.dumps(kept.get(name)) != json.dumps(value)
    ]
    if differing:
        raise UserError(
            f"The storage '{url}' holds a search of something else, which began with other "
            f"{' and '.join(differing)} or another order of them. Bring the space and the configs "
            "back, or choose another --output, and another --storage if you name one."
        )
