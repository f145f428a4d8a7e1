"""The keys of a YAML file, and how a file becomes a config."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.config.added_keys import add_imbdet_config, add_modeling_config
from imbdet.config.merging import load_config

__all__ = ["add_imbdet_config", "add_modeling_config", "load_config"]
