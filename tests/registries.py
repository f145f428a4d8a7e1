"""The registries of all that a YAML file can name."""

import imbdet.config  # noqa: F401  (imports the methods, which register)
from imbdet import methods

REGISTRIES = list(methods.REGISTRIES.values())
