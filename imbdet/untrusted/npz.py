"""Arrays from untrusted npz files."""

import zipfile
from pathlib import Path

import numpy as np

from imbdet.untrusted.reading import require_file

# Of the arrays of a file together; histograms have some kilobytes.
MAX_BYTES = 1 << 26


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name.

    Raises:
        OSError: it is no file or cannot be read.
        ValueError: it is damaged, or unpacks to more than 64 MiB.
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
    except Exception as error:  # numpy and zipfile tell of a damaged archive in many ways
        raise ValueError("it is damaged") from error
