"""Ctrl-C and SIGTERM end a training between two iterations, with a checkpoint to go on from."""

import logging
import signal

from detectron2.engine import HookBase

logger = logging.getLogger(__name__)


class StopOnSignal(HookBase):
    """Saves a checkpoint after the running iteration and raises KeyboardInterrupt.

    A second signal stops at once. To be registered before hooks that would evaluate.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def before_train(self):
        self._stop = False
        self._handlers = {s: signal.signal(s, self._on_signal) for s in self.SIGNALS}

    def after_step(self):
        if self._stop:
            iteration = self.trainer.iter
            self.trainer.checkpointer.save(f"model_{iteration:07d}", iteration=iteration)
            raise KeyboardInterrupt

    def after_train(self):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number, frame):
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        logger.info("Stopping after this iteration; once more to stop at once.")
