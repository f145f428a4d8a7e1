"""Methods and parts by their names in a YAML file, and options of methods by their keys."""

from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from fvcore.common.registry import Registry as Detectron2Registry

from imbdet.config.values import refuse_out_of_range
from imbdet.config_files.keys import get_key
from imbdet.errors import UserError, suggest
from imbdet.methods import Method, Registry
from imbdet.modeling.site_keys import Site


def lookup(registry: Detectron2Registry | Registry, name: str, key: str) -> Any:
    """The registered object of a name.

    Raises:
        UserError: nothing has this name; the message has the key and the nearest names.
    """
    names = [registered for registered, _ in registry]
    if name not in names:
        raise UserError(f"{key} is {name!r}, which does not exist. {suggest(name, names)}")
    return registry.get(name)


def read_choice(cfg: CfgNode, key: str, names: Sequence[str]) -> str:
    """The value of a key that is one of some names.

    Raises:
        UserError: the value is none of the names.
    """
    value = get_key(cfg, key)
    if value not in names:
        raise UserError(f"{key} is {value!r}. {suggest(value, names)}")
    return value


def read_options(cfg: CfgNode, site: Site, node: str, method: Method) -> dict[str, Any]:
    """The options of a method by name, from its group of keys in the node.

    Raises:
        UserError: an option is out of range, or the config was made before the method registered.
    """
    options = {}
    for option in method.options:
        key = site.option_key(node, method.name, option.name)
        try:
            options[option.name] = value = get_key(cfg, key)
        except AttributeError as error:
            raise UserError(
                f"{key} is not among the keys of the config, which was made before {method.name!r} "
                "registered: import the file that registers it first."
            ) from error
        refuse_out_of_range(option._replace(name=key), value)
    return options
