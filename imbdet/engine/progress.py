"""Shows the progress of long work: a bar at a terminal, occasional lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from detectron2.engine import HookBase
from detectron2.utils import comm
from tqdm import tqdm

logger = logging.getLogger(__name__)

# Seconds between lines.
PERIOD = 10.0

T = TypeVar("T", bound=Iterable)
Item = TypeVar("Item")


def at_a_terminal() -> bool:
    """Whether the output is a terminal; a log file gets occasional lines instead."""
    return sys.stderr.isatty()


def with_progress(loader: T, description: str) -> T:
    """The same iterable with a progress bar on the main process, if there is a terminal."""
    if comm.is_main_process() and at_a_terminal():
        return tqdm(loader, desc=description, leave=False)
    return loader


def with_progress_lines(items: Sequence[Item], description: str) -> Iterator[Item]:
    """The items with a progress bar or, without a terminal, a line every ten seconds."""
    last = time.monotonic()
    for i, item in enumerate(with_progress(items, description)):
        if not at_a_terminal() and time.monotonic() - last > PERIOD:
            last = time.monotonic()
            logger.info(f"{description}: {i:,} of {len(items):,}")
        yield item


class ProgressBar(HookBase):
    """Shows iterations done, iterations a second, time left and the smoothed total loss."""

    def __init__(self) -> None:
        self._bar = tqdm(disable=True)  # for `after_train` if an earlier hook fails

    def before_train(self):
        self._bar = tqdm(
            desc="training",
            initial=self.trainer.start_iter,
            total=self.trainer.max_iter,
            disable=not at_a_terminal(),
            dynamic_ncols=True,
        )

    def after_step(self):
        if self._bar.disable:
            return
        # The loss is not updated in every step, as its median takes time.
        if self._bar.n % 5 == 0:
            losses = self.trainer.storage.histories().get("total_loss")
            self._bar.set_postfix(loss=f"{losses.median(20):.3f}" if losses else "?", refresh=False)
        self._bar.update()

    def after_train(self):
        self._bar.close()
