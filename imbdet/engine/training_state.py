"""Checks the form of the state of a training before any of it is loaded."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from imbdet.errors import UserError
from imbdet.untrusted.schema import Each, Maybe, require_form

logger = logging.getLogger(__name__)

_HOOKS = Each(dict)  # each hook checks its own state
_FORM = {
    "iteration": int,
    "hooks": _HOOKS,
    "_trainer": {"optimizer": {"state": dict, "param_groups": [{"params": [int]}]}},
    "seed": Maybe(int),
    "processes": Maybe([{"buffers": Each(Tensor), "hooks": Maybe(_HOOKS), "random": dict}]),
}


def check_training_state(state: Any) -> None:
    """Refuse a state that would make a training fail, possibly much later.

    Args:
        state: state of ``Trainer``, or of another program with detectron2 that keeps the optimizer.

    Raises:
        UserError: a part is missing or wrong; the message names it.
    """
    if isinstance(state, dict) and "_trainer" not in state:
        raise UserError("it has no state of the optimizer: start from it by MODEL.WEIGHTS.")
    require_form(state, _FORM, "trainer")
    of_processes = [own["hooks"] for own in state.get("processes", []) if "hooks" in own]
    for hooks in (state["hooks"], *of_processes):
        require_form(hooks, {"LRScheduler": {"last_epoch": int}}, "trainer.hooks")
        # Both count iterations, and detectron2 advances them together.
        step, number = hooks["LRScheduler"]["last_epoch"], state["iteration"] + 1
        if step != number:
            raise UserError(
                f"it is of {number:,} iterations, but its schedule of learning rates is at "
                f"{step:,}."
            )
    if state["iteration"] < 0 or state.get("seed", 0) < 0:
        raise UserError("its trainer.iteration or trainer.seed is negative.")


@contextlib.contextmanager
def taking_up(what: str) -> Iterator[None]:
    """Turn the errors that a state of another form causes in the block into a sentence.

    Args:
        what: name of the part whose state it is, for the message.

    Raises:
        UserError: the block failed.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # detectron2, torch and numpy raise errors of their own
        logger.debug(f"The state of {what} was refused:", exc_info=True)
        raise UserError(
            f"its state of {what} is not as a training writes it ({type(error).__name__})."
        ) from error
