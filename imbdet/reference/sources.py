"""The text of modules that are not imported."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path


def read_source(package: str, file: str) -> str:
    """The text of a file of a package; empty where the package is not installed.

    Args:
        package: top-level package, which is found without being imported.
        file: path in the folder of the package, such as "config/defaults.py".
    """
    return next((text for text in read_sources(package, file)), "")


def read_sources(package: str, pattern: str) -> Iterator[str]:
    """The texts of the files that a pattern such as "losses/*.py" finds in a package's folder."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob(pattern)):
            yield path.read_text()
