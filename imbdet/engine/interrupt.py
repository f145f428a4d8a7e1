"""Ends a training on Ctrl-C and SIGTERM between two iterations, with a checkpoint to resume."""

import logging
import os
import time

from detectron2.engine import HookBase
from detectron2.utils import comm

from imbdet.programs.signals import Stopped, stop

logger = logging.getLogger(__name__)

# Seconds within which a second signal is taken for the first one: a terminal and SLURM send it to
# all processes of a job, and the program that started them, such as torchrun, passes it on.
ECHO_TIME = 1.0


class StopOnSignal(HookBase):
    """After a signal, saves a checkpoint at the end of the running iteration and raises Stopped.

    All processes stop if one of them receives a signal. A second signal stops at once, and so does
    any before the first iteration or after the last checkpoint, when nothing would be lost.
    ``on_signal`` must be the handler of the signals before the loader's workers are made, which
    inherit it. The hook comes after those that change the state and before those that save and
    evaluate it.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._is_underway = False
        self._received = 0  # number of the signal, 0 for none
        self._received_at = 0.0

    def on_signal(self, number: int, frame: object) -> None:
        """Handle a signal; see :func:`imbdet.programs.signals.hearing`."""
        if os.getpid() != self._process:
            return  # a worker of the loader: its parent ends it
        if not self._is_underway:
            stop(number)
        now = time.monotonic()
        if self._received != number:
            logger.info("Stopping after this iteration or evaluation; once more to stop at once.")
        elif now - self._received_at > ECHO_TIME:
            stop(number, "With --resume, the same command goes on from the last checkpoint.")
        self._received, self._received_at = number, now

    def before_step(self):
        self._is_underway = True

    def after_step(self):
        is_last = self.trainer.iter + 1 >= self.trainer.max_iter  # a checkpoint follows anyway
        number = self._agree()
        if number and not is_last:
            iteration = self.trainer.iter
            self.trainer.checkpointer.save(f"model_{iteration:07d}", iteration=iteration)
            self._leave(number)

    def after_train(self):
        if self.trainer.iter < self.trainer.max_iter:
            return  # the training failed
        number = self._agree()
        self._is_underway = False
        if number:
            self._leave(number)

    def _agree(self) -> int:
        # All processes stop after the same iteration, as others would wait for one that stopped
        # alone.
        return max(comm.all_gather(self._received))

    def _leave(self, number: int) -> None:
        self.trainer.checkpointer.writer.wait()
        comm.synchronize()  # one that left early would end the others before the file is written
        raise Stopped(number, "With --resume, the same command goes on.")
