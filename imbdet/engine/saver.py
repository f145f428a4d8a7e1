"""Saves a checkpoint every N iterations and at the end."""

from detectron2.engine.hooks import PeriodicCheckpointer


class PeriodicSaver(PeriodicCheckpointer):
    """detectron2's hook for a checkpointer that writes in a thread, on all processes.

    It stops the training if a checkpoint cannot be written, also the last one, before other hooks
    do long work after the training.
    """

    def after_step(self):
        self.checkpointer.writer.check()
        super().after_step()

    def after_train(self):
        self.checkpointer.writer.wait()
