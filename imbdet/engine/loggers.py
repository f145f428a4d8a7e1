"""Sends curves to trackers of experiments: Weights & Biases and MLflow."""

import importlib
import importlib.util
import json
import logging
import os
import re
import time
import uuid
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils.events import EventWriter, get_event_storage

from imbdet.config_files.keys import leaves
from imbdet.engine.process_state import get_random_states, set_random_states
from imbdet.errors import UserError, suggest
from imbdet.files import replacing
from imbdet.untrusted.reading import read_json

logger = logging.getLogger(__name__)

KEY = "LOGGERS.NAMES"
# Number of a scalar's last values that are smoothed over, as in metrics.json.
_WINDOW = 20
# Characters that MLflow does not accept in the name of a metric.
_NOT_IN_NAMES = re.compile(r"[^\w\-. /]")


class RunLogger(EventWriter):
    """Sends each scalar once, with its iteration.

    A tracker that cannot be reached any more does not end a training: a warning is logged, and
    ``metrics.json`` has all scalars.

    Attributes:
        is_complete: whether the training came to its end, which ``close`` tells the tracker.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self._last_write = -1
        self._is_reached = True

    def write(self) -> None:
        scalars: defaultdict[int, dict[str, float]] = defaultdict(dict)
        latest = get_event_storage().latest_with_smoothing_hint(_WINDOW)
        for name, (value, iteration) in latest.items():
            if iteration > self._last_write:
                scalars[iteration][name] = value
        for iteration in sorted(scalars):
            self._try(self._log, scalars[iteration], iteration)
            self._last_write = iteration

    def close(self) -> None:
        self._try(self._finish)

    def _try(self, action: Any, *args: Any) -> None:
        if not self._is_reached:
            return
        try:
            action(*args)
        except Exception as error:  # each library and network raises errors of its own
            self._is_reached = False
            logger.warning(
                f"{type(self).__name__} takes no more scalars ({type(error).__name__}: {error}). "
                "The training goes on, and metrics.json has them all."
            )

    @abstractmethod
    def _log(self, scalars: Mapping[str, float], iteration: int) -> None:
        """Send the scalars of an iteration, by name."""

    @abstractmethod
    def _finish(self) -> None:
        """Tell the tracker that the run has ended, and whether it is complete."""


class WandbLogger(RunLogger):
    """A run of Weights & Biases; see https://docs.wandb.ai/ref/python."""

    package = "wandb"

    def __init__(self, cfg: CfgNode, run_id: str | None) -> None:
        """Start a run, or resume one; see :func:`build_loggers`."""
        super().__init__()
        self.run_id = run_id or uuid.uuid4().hex
        self._run = importlib.import_module(self.package).init(
            project=cfg.LOGGERS.PROJECT,
            name=_name_of_run(cfg),
            id=self.run_id,
            resume="allow",
            dir=cfg.OUTPUT_DIR,
            config=dict(leaves(cfg)),
        )

    def _log(self, scalars: Mapping[str, float], iteration: int) -> None:
        self._run.log(dict(scalars), step=iteration)

    def _finish(self) -> None:
        self._run.finish(exit_code=0 if self.is_complete else 1)


class MlflowLogger(RunLogger):
    """A run of MLflow at MLFLOW_TRACKING_URI; see https://mlflow.org/docs/latest."""

    package = "mlflow"

    def __init__(self, cfg: CfgNode, run_id: str | None) -> None:
        """Start a run, or resume one; see :func:`build_loggers`."""
        super().__init__()
        self._entities = importlib.import_module(f"{self.package}.entities")
        self._client = importlib.import_module(self.package).MlflowClient()
        if run_id is None:
            project = cfg.LOGGERS.PROJECT
            found = self._client.get_experiment_by_name(project)
            experiment = found.experiment_id if found else self._client.create_experiment(project)
            run = self._client.create_run(experiment, run_name=_name_of_run(cfg))
            self.run_id = run.info.run_id
            self._client.log_text(self.run_id, cfg.dump(), "config.yaml")
        else:
            self.run_id = run_id
            self._client.update_run(run_id, status="RUNNING")

    def _log(self, scalars: Mapping[str, float], iteration: int) -> None:
        now = int(time.time() * 1000)
        metrics = [
            self._entities.Metric(_NOT_IN_NAMES.sub("_", name), value, now, iteration)
            for name, value in scalars.items()
        ]
        self._client.log_batch(self.run_id, metrics=metrics)

    def _finish(self) -> None:
        self._client.set_terminated(self.run_id, "FINISHED" if self.is_complete else "FAILED")


LOGGERS = {"wandb": WandbLogger, "mlflow": MlflowLogger}


def check_loggers(cfg: CfgNode) -> None:
    """Refuse names under ``LOGGERS.NAMES`` that do not exist, or whose package is not installed.

    Raises:
        UserError: there is such a name.
    """
    for name in cfg.LOGGERS.NAMES:
        if name not in LOGGERS:
            raise UserError(f"{KEY} has {name!r}. {suggest(str(name), LOGGERS)}")
        spec = importlib.util.find_spec(LOGGERS[name].package)
        # A folder of the tracker's files in the working directory may have the package's name.
        if spec is None or spec.origin is None:
            raise UserError(
                f"{KEY} has '{name}', but the package is not installed: "
                f"pip install 'imbdet[{name}]', or leave it out."
            )


def build_loggers(cfg: CfgNode, *, goes_on: bool) -> Iterator[RunLogger]:
    """The loggers that ``LOGGERS.NAMES`` asks for.

    The ids of their runs are kept in ``OUTPUT_DIR/loggers.json``.

    Args:
        cfg: config that passed :func:`check_loggers`.
        goes_on: whether the training is resumed, so that its runs are, too.

    Raises:
        UserError: a logger cannot start.
    """
    path = Path(cfg.OUTPUT_DIR, "loggers.json")
    ids = _read_ids(path) if goes_on else {}
    states = get_random_states()  # the libraries may draw random numbers
    for name in cfg.LOGGERS.NAMES:
        try:
            run = LOGGERS[name](cfg, ids.get(name))
        except Exception as error:  # each library raises errors of its own
            raise UserError(
                f"'{name}' of {KEY} cannot begin ({type(error).__name__}: {error}). Set it up, or "
                "leave it out."
            ) from error
        ids[name] = run.run_id
        yield run
    if cfg.LOGGERS.NAMES:
        set_random_states(states)
        with replacing(path) as draft:
            draft.write_text(json.dumps(ids))


def _read_ids(path: Path) -> dict[str, str]:
    try:
        ids = read_json(path, max_bytes=1 << 16)
        return {name: ids[name] for name in LOGGERS if isinstance(ids.get(name), str)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        logger.warning(f"'{path}' is damaged ({error}): runs of {KEY} begin anew.")
        return {}


def _name_of_run(cfg: CfgNode) -> str:
    return cfg.LOGGERS.RUN or os.path.basename(os.path.abspath(cfg.OUTPUT_DIR))
