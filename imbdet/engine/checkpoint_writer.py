"""Writes checkpoints to the disk while the training goes on."""

from concurrent.futures import Future, ThreadPoolExecutor

from imbdet.engine.checkpoint_file import write_sealed
from imbdet.engine.checkpoint_folder import CheckpointFolder


class CheckpointWriter:
    """Writes one file at a time in a thread, which the program waits for before it ends.

    Args:
        folder: folder of the files.
        keep: number of the newest numbered files that stay; 0 is all.
    """

    def __init__(self, folder: CheckpointFolder, keep: int = 0) -> None:
        self._folder = folder
        self._keep = keep
        self._writing: Future | None = None

    def start(self, name: str, content: bytes, *, is_last: bool = True) -> None:
        """Start to write a file, once the previous one is written.

        Args:
            name: name of the file.
            content: output of ``torch.save``.
            is_last: whether a training can be resumed from it, so that the tag names it.

        Raises:
            UserError: the previous file could not be written.
        """
        self.wait()
        executor = ThreadPoolExecutor(max_workers=1)
        self._writing = executor.submit(self._write, name, content, is_last)
        executor.shutdown(wait=False)  # the thread ends with the file

    def check(self) -> None:
        """Raise the error of the last file, if there has been one so far."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait until all files are on the disk.

        Raises:
            UserError: the last file could not be written. The previous ones are intact.
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
