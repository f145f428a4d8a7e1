"""What a YAML file can name."""

from fvcore.common.registry import Registry

from imbdet.modeling import registry

REGISTRIES = [value for value in vars(registry).values() if isinstance(value, Registry)]
