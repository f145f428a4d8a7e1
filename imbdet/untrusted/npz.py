"""Arrays from untrusted npz files."""

import zipfile
from pathlib import Path

import numpy as np

from imbdet.untrusted.reading import require_file

# Limit of the arrays of a file together; histograms have some kilobytes.
MAX_BYTES = 1 << 26


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name.

    Raises:
        OSError: the path is no file or cannot be read.
        ValueError: the file is damaged, or unpacks to more than 64 MiB.
    """
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = [entry.file_size for entry in archive.infolist()]
        if sum(sizes) > MAX_BYTES:
            raise ValueError(f"it unpacks to {sum(sizes):,} bytes")
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError):
        raise
    except Exception as error:  # a damaged archive raises many of numpy's and zipfile's
        raise ValueError("it is damaged") from error
