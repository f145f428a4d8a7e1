"""Brings checkpoints to the disk while the training goes on."""

from concurrent.futures import Future, ThreadPoolExecutor

from imbdet.engine.checkpoint_file import write_sealed
from imbdet.engine.checkpoint_folder import CheckpointFolder


class CheckpointWriter:
    """Writes one file at a time in a thread, which the program waits for before it ends.

    Args:
        folder: of the files.
        keep: how many of the newest numbered files stay; 0 = all.
    """

    def __init__(self, folder: CheckpointFolder, keep: int = 0) -> None:
        self._folder = folder
        self._keep = keep
        self._writing: Future | None = None

    def start(self, name: str, content: bytes, *, is_last: bool = True) -> None:
        """Begin to write a file, once the one before is written.

        Args:
            name: of the file.
            content: what ``torch.save`` made.
            is_last: whether a training goes on from it, so that the tag names it.

        Raises:
            UserError: the file before could not be written.
        """
        self.wait()
        executor = ThreadPoolExecutor(max_workers=1)
        self._writing = executor.submit(self._write, name, content, is_last)
        executor.shutdown(wait=False)  # the thread ends with the file

    def check(self) -> None:
        """Raise the error of the last file, if there was one by now."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait until all is on the disk.

        Raises:
            UserError: the disk did not take it. The files before are intact.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, name: str, content: bytes, is_last: bool) -> None:
        write_sealed(self._folder.root / name, content)
        if not is_last:
            return
        self._folder.set_tag(name)
        if self._keep > 0:
            self._folder.remove_old(name, self._keep)
