"""The keys of a config, and the merging of YAML files into one."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.config.added_keys import add_imbdet_config, add_modeling_config
from imbdet.config.merging import load_config

__all__ = ["add_imbdet_config", "add_modeling_config", "load_config"]
