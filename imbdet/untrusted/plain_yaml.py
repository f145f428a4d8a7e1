"""YAML of bounded size, restricted to null, booleans, numbers, texts, lists and mappings."""

from collections.abc import Callable
from typing import Any, ClassVar

import yaml

from imbdet.untrusted.reading import TooLarge

# Limits far above the sizes of configs; a document within them is parsed in seconds.
MAX_BYTES = 1 << 18
MAX_DEPTH = 50
# With each alias written out: a few lines of aliases of aliases stand for billions of values.
MAX_NODES = 100_000
# Python takes quadratic time for a number of thousands of digits, and torch knows 64 bits.
_MAX_INT = 2**63

_PLAIN = ("null", "bool", "int", "float", "str", "seq", "map")
_TAG = "tag:yaml.org,2002:"


class TagError(yaml.constructor.ConstructorError):  # type: ignore[misc]
    """A value is not plain: it has a tag, such as of Python, or is a date, which needs none."""

    def __init__(self, node: yaml.Node) -> None:
        self.is_date = node.tag == f"{_TAG}timestamp"
        what = "a date, which is no value: quote it" if self.is_date else "a tag, which is refused"
        super().__init__(problem=f"it has {what}", problem_mark=node.start_mark)


class PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's ``SafeLoader``, which raises nothing but ``yaml.YAMLError``.

    It refuses dates, sets and all else that is not plain, values that contain themselves, and
    documents that are nested or grow without end.
    """

    yaml_constructors: ClassVar[dict[str | None, Callable[..., Any]]] = {
        name: constructor
        for name, constructor in yaml.SafeLoader.yaml_constructors.items()
        if name is None or name.removeprefix(_TAG) in _PLAIN
    }

    def get_single_node(self) -> yaml.Node | None:
        """The root of the document, a tree within the limits."""
        try:
            root = super().get_single_node()
        except RecursionError as error:
            raise _problem("it is nested too deep") from error
        if root is not None:
            _measure(root, {})
        return root

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node."""
        if node.tag not in self.yaml_constructors:
            raise TagError(node)
        try:
            value: Any = super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception as error:  # such as those of int() and float()
            raise _problem("a value is not what its tag or form says", node) from error
        if isinstance(value, int) and abs(value) >= _MAX_INT:
            raise _problem("a whole number has more than 64 bits", node)
        return value


def load_yaml(text: str) -> Any:
    """The value of a document of plain YAML.

    Raises:
        TooLarge: the text has more characters than ``MAX_BYTES``.
        ValueError: the text is damaged or not plain.
    """
    if len(text) > MAX_BYTES:
        raise TooLarge(f"it has more than {MAX_BYTES:,} bytes")
    try:
        return yaml.load(text, PlainLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        raise ValueError(f"it is not plain YAML: {error.problem:.100} (line {line})") from error
    except yaml.YAMLError as error:
        raise ValueError("it is not text") from error


def _measure(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """The number of nodes and of levels below a node, itself included.

    Args:
        node: node to measure.
        known: results by id of the node, to which new ones are added; None for nodes that are
            being measured.
    """
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise _problem("a value contains itself", node)
        return found
    known[id(node)] = None
    inside: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inside = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inside = node.value
    measured = [_measure(part, known) for part in inside]
    size = 1 + sum(size for size, _ in measured)
    depth = 1 + max((depth for _, depth in measured), default=0)
    if size > MAX_NODES:
        raise _problem(f"it stands for more than {MAX_NODES:,} values", node)
    if depth > MAX_DEPTH:
        raise _problem(f"it is nested more than {MAX_DEPTH} deep", node)
    known[id(node)] = size, depth
    return size, depth


def _problem(problem: str, node: yaml.Node | None = None) -> yaml.MarkedYAMLError:
    mark = yaml.Mark("", 0, 0, 0, None, None) if node is None else node.start_mark
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=mark)
