"""Trainings as tasks of a Ray cluster, whose machines see the folder of the search.

Only the cluster of Ray is used: the schedulers of Ray Tune judge a trial by one number, as Optuna's
pruners do, and know nothing of seeds and images.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import ray

from imbdet.search import training_process
from imbdet.search.launcher import Launcher
from imbdet.search.ray_address import no_cluster, require_answer
from imbdet.search.training_process import STOP_FILE, run_training_there

# Otherwise the task would import imbdet, and so torch, only to start a process.
ray.cloudpickle.register_pickle_by_value(training_process)


class RayLauncher(Launcher):
    """Starts trainings in a cluster, with a GPU each where it has any, otherwise a CPU.

    Args:
        address: address of the cluster, such as "auto" or "ray://host:10001".
        parallel: number of trainings that are submitted at a time.
        prefix: words that precede each command.

    Raises:
        UserError: there is no cluster.
    """

    def __init__(self, *, address: str, parallel: int, prefix: Sequence[str]) -> None:
        super().__init__(gpus=[], parallel=parallel, prefix=prefix)
        require_answer(address)
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise no_cluster(address, str(error).splitlines()[0]) from error
        has_gpus = ray.cluster_resources().get("GPU", 0) > 0
        needs = {"num_cpus": 0, "num_gpus": 1} if has_gpus else {"num_cpus": 1}
        self._task = ray.remote(run_training_there).options(**needs, max_retries=0)
        self._tasks: dict[Path, ray.ObjectRef] = {}

    def stop(self) -> None:
        """See :class:`Launcher`."""
        super().stop()
        for folder, task in list(self._tasks.items()):
            _stop(folder, task)

    def _run(self, command: Sequence[str], folder: Path, place: dict[str, str]) -> str:
        folder = folder.resolve()
        (folder / STOP_FILE).unlink(missing_ok=True)
        task = self._tasks[folder] = self._task.remote(command, folder, os.getcwd())
        if self.is_stopping:
            _stop(folder, task)
        try:
            return str(ray.get(task))
        except ray.exceptions.RayError as error:
            return f"with Ray's {type(error).__name__}: {str(error).strip().splitlines()[-1]}"
        finally:
            del self._tasks[folder]
            (folder / STOP_FILE).unlink(missing_ok=True)


def _stop(folder: Path, task: "ray.ObjectRef") -> None:
    (folder / STOP_FILE).touch()
    ray.cancel(task)  # unless it has begun, it never will
