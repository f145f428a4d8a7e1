"""The text of a module that is not imported."""

import importlib.util
from pathlib import Path


def read_source(package: str, file: str) -> str:
    """The text of a file of a package; empty where that is not installed.

    Args:
        package: of the first level, which is found without being imported.
        file: from its folder on, such as "config/defaults.py".
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, file)
        if path.is_file():
            return path.read_text()
    return ""
