"""All methods that a YAML file can name, for a reader who looks for one."""

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

from imbdet.keys import leaves
from imbdet.reference.defaults import default_config
from imbdet.reference.sources import read_source


class Kind(NamedTuple):
    """Methods of the same kind.

    Attributes:
        title: what they are.
        registry: the name of their registry.
        file: of ``imbdet/modeling``, which registers them.
        nodes: groups of keys that name and rule them: of the detector and, where it has one, of the
            RPN.
        key: of these groups, names one or several.
    """

    title: str
    registry: str
    file: str
    nodes: tuple[str, ...]
    key: str

    @property
    def keys(self) -> list[str]:
        """Full names of the keys that name them."""
        return [f"{node}.{self.key}" for node in self.nodes]


class Method(NamedTuple):
    """A method.

    Attributes:
        name: the value of the key.
        description: a sentence.
        source: authors, place and address of the paper; empty where there is none.
        options: keys of its own and their defaults.
    """

    name: str
    description: str
    source: str
    options: dict[str, Any]


_SAMPLERS = ("MODEL.SAMPLER", "MODEL.RPN_SAMPLER")
KINDS = (
    Kind(
        "Classification losses",
        "CLS_LOSS_REGISTRY",
        "cls_losses.py",
        ("MODEL.CLS_LOSS", "MODEL.RPN_LOSS.CLS"),
        "NAME",
    ),
    Kind(
        "Box losses",
        "BOX_LOSS_REGISTRY",
        "box_losses.py",
        ("MODEL.BOX_LOSS", "MODEL.RPN_LOSS.BOX"),
        "NAME",
    ),
    Kind(
        "Samplers of positives, two-stage (RetinaNet takes all positives)",
        "POSITIVE_SAMPLER_REGISTRY",
        "samplers.py",
        _SAMPLERS,
        "POSITIVE.NAME",
    ),
    Kind(
        "Samplers of negatives",
        "NEGATIVE_SAMPLER_REGISTRY",
        "samplers.py",
        _SAMPLERS,
        "NEGATIVE.NAME",
    ),
    Kind("Weightings", "WEIGHTING_REGISTRY", "weightings.py", ("MODEL.WEIGHTING",), "NAMES"),
)


def list_methods(kind: Kind) -> list[Method]:
    """The methods of a kind in the order of their registration, options with their defaults."""
    defaults, methods = dict(leaves(default_config())), []
    for function in _registered(kind):
        description, _, source = (ast.get_docstring(function) or "").partition("\n\n")
        own = f"{kind.nodes[0]}.{function.name.upper()}."
        options = {key: value for key, value in defaults.items() if key.startswith(own)}
        methods.append(Method(function.name, " ".join(description.split()), source, options))
    return methods


def _registered(kind: Kind) -> Iterator[ast.FunctionDef]:
    """The functions with ``@CLS_LOSS_REGISTRY.register()`` above them."""
    for node in ast.parse(read_source("imbdet", f"modeling/{kind.file}")).body:
        if isinstance(node, ast.FunctionDef):
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            if f"{kind.registry}.register()" in decorators:
                yield node
