"""Curves of a training that continue at a checkpoint as if it had not been interrupted."""

import contextlib
from collections import defaultdict
from pathlib import Path
from typing import Any

from detectron2.engine.hooks import PeriodicWriter
from detectron2.utils.events import JSONWriter, TensorboardXWriter

from imbdet.engine.loggers import RunLogger
from imbdet.errors import UserError
from imbdet.files import replacing
from imbdet.untrusted.reading import parse_json, require_file
from imbdet.untrusted.schema import NUMBER, Each, Row, require_form

# Number of a scalar's last values that the writers smooth over.
WINDOW = 20

# The form of the state: for each scalar, whether it is smoothed, and values with iterations.
_STATE = {"scalars": Each(Row((bool, [Row((NUMBER, int))]))), "written_to": int}


class CurveWriter(PeriodicWriter):
    """detectron2's hook, whose smoothing continues at a checkpoint.

    Lines later than the checkpoint are removed from ``metrics.json``; TensorBoard hides them by
    itself. The writers are those of the trainer, made once the first iteration is known.
    """

    def __init__(self, metrics_file: Path) -> None:
        super().__init__([])
        self._metrics_file = metrics_file
        self._state: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The last values of each scalar, and the iteration up to which scalars are written."""
        storage = self.trainer.storage
        hints = storage.smoothing_hints()
        return {
            # Scalars that are not smoothed, such as the AP of a thousand classes, need the last
            # one.
            "scalars": {
                name: (hints[name], history.values()[-WINDOW if hints[name] else -1 :])
                for name, history in storage.histories().items()
            },
            "written_to": max(writer._last_write for writer in self._forgetful_writers()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state`` when the training starts.

        Raises:
            UserError: the state is of another form.
        """
        require_form(state, _STATE, "CurveWriter")
        self._state = state

    def before_train(self):
        start = self.trainer.start_iter
        state = self._state or {"scalars": {}, "written_to": start - 1}
        _drop_later_lines(self._metrics_file, state["written_to"])
        self._restore_scalars(state["scalars"])
        self._writers = self.trainer.build_writers()
        for writer in self._forgetful_writers():
            writer._last_write = state["written_to"]

    def after_train(self):
        is_complete = self.trainer.iter >= self.trainer.max_iter
        # Each writer writes the rest and closes, also after an error of another.
        with contextlib.ExitStack() as stack:
            for writer in reversed(self._writers):
                if isinstance(writer, RunLogger):
                    writer.is_complete = is_complete
                stack.callback(writer.close)
                stack.callback(writer.write)

    def _forgetful_writers(self) -> list[JSONWriter | TensorboardXWriter | RunLogger]:
        """The writers that write each scalar once, for which they store the last iteration."""
        kinds = JSONWriter | TensorboardXWriter | RunLogger
        return [writer for writer in self._writers if isinstance(writer, kinds)]

    def _restore_scalars(self, scalars: dict[str, tuple[bool, list[tuple[float, int]]]]) -> None:
        by_iteration = defaultdict(list)
        for name, (hint, values) in scalars.items():
            for value, iteration in values:
                by_iteration[iteration].append((name, value, hint))
        storage = self.trainer.storage
        for iteration in sorted(by_iteration):
            storage.iter = iteration
            for name, value, hint in by_iteration[iteration]:
                storage.put_scalar(name, value, smoothing_hint=hint)
        storage.iter = self.trainer.start_iter


def _drop_later_lines(file: Path, iteration: int) -> None:
    """Remove the lines that are later than ``iteration``, and those that are damaged."""
    try:
        require_file(file)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"'{file}' cannot be gone on with: {error.strerror}.") from error
    lines = file.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if _is_upto(line, iteration)]
    if len(kept) < len(lines):
        with replacing(file) as draft:
            draft.write_bytes(b"".join(kept))


def _is_upto(line: bytes, iteration: int) -> bool:
    try:
        return line.endswith(b"\n") and parse_json(line)["iteration"] <= iteration
    except (ValueError, LookupError, TypeError):
        return False
