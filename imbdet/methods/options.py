"""Options of methods: numbers, lists of numbers and switches that a function or a class takes.

An option is declared where it is used, as a parameter with a default: its type states the range,
the docstring the meaning and the unit. Keys of the config, their defaults and their descriptions
are read from there::

    @CLS_LOSSES.register("focal", "Focal loss of each class.")
    def focal_loss(pred_logits: Tensor, gt_labels: Tensor, *, gamma: NonNegative = 2.0) -> Tensor:
        '''...

        Args:
            gamma: focusing exponent; 0 is cross-entropy.
        '''
"""

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Range:
    """An interval of numbers.

    Attributes:
        lowest: lower end; -inf = none.
        highest: upper end; inf = none.
        above: whether the lowest number itself is excluded.
        below: whether the highest number itself is excluded.
        besides: a number outside that is admitted as well, as it switches something off.
    """

    lowest: float = -math.inf
    highest: float = math.inf
    above: bool = False
    below: bool = False
    besides: float | None = None

    def __contains__(self, value: float) -> bool:
        """Whether a number is admitted; NaN never is."""
        is_high = value > self.lowest if self.above else value >= self.lowest
        is_low = value < self.highest if self.below else value <= self.highest
        return (is_high and is_low) or value == self.besides

    def __str__(self) -> str:
        """What a number must be, such as "at least 0 and below 1"."""
        ends = []
        if self.lowest > -math.inf:
            ends.append(f"{'above' if self.above else 'at least'} {self.lowest}")
        if self.highest < math.inf:
            ends.append(f"{'below' if self.below else 'at most'} {self.highest}")
        elif self.below:
            ends.append("finite")
        text = " and ".join(ends)
        if len(ends) == 2 and not self.above and not self.below:
            text = f"from {self.lowest} to {self.highest}"
        return text if self.besides is None else f"{self.besides} or {text}"


NonNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]
# The weight of the past in a running mean.
Momentum = Annotated[float, Range(0, 1, below=True)]
Count = Annotated[int, Range(1)]
# First counts of ranges, ascending.
Bounds = Annotated[tuple[int, ...], Range(1)]
# Weight alpha of positive entries, where negative ones have 1 - alpha; below 0 = no weights.
Balance = Annotated[float, Range(highest=1)]


class Option(NamedTuple):
    """An option.

    Attributes:
        name: name of the parameter, or full name of a key.
        default: value if none is given.
        meaning: sentences without the last full stop, with the unit.
        range: admitted values of a number, or of each number in a list; None = all.
    """

    name: str
    default: Any
    meaning: str
    range: Range | None = None

    def check(self, value: Any) -> None:
        """Raise ValueError if a value is out of range."""
        numbers = value if isinstance(value, list | tuple) else [value]
        if self.range is not None and any(number not in self.range for number in numbers):
            raise ValueError(f"{self.name} is {value}: it must be {self.range}.")


def options_of(call: Callable[..., Any]) -> tuple[Option, ...]:
    """The options of a function or class, in the order of its parameters."""
    parameters = inspect.signature(call, eval_str=True).parameters.values()
    declared = [(p.name, p.annotation, p.default) for p in parameters if p.default is not p.empty]
    docs = [call.__doc__, call.__init__.__doc__ if isinstance(call, type) else ""]  # type: ignore[misc]
    return make_options(declared, "\n\n".join(inspect.cleandoc(doc or "") for doc in docs))


def make_options(declared: Iterable[tuple[str, Any, Any]], docstring: str) -> tuple[Option, ...]:
    """The options among parameters: numbers, lists of integers and switches.

    Args:
        declared: name, type and default of each parameter that has a default.
        docstring: docstring in Google's style, which explains them under "Args" or "Attributes".
    """
    meanings = _meanings(docstring)
    return tuple(
        Option(name, default, meanings.get(name, ""), _range(kind))
        for name, kind, default in declared
        if (get_args(kind)[0] if get_origin(kind) is Annotated else kind) in _KINDS
    )


def fields_of(group: type) -> Iterator[Option]:
    """The attributes of a class, of any type, in their order, those of its bases first."""
    for base in reversed(group.__mro__):
        meanings = _meanings(inspect.cleandoc(base.__doc__ or ""))
        for name, kind in inspect.get_annotations(base, eval_str=True).items():
            yield Option(name, getattr(group, name), meanings[name], _range(kind))


_KINDS = (bool, int, float, tuple[int, ...])


def _range(kind: Any) -> Range | None:
    return get_args(kind)[1] if get_origin(kind) is Annotated else None


def _meanings(docstring: str) -> dict[str, str]:
    """The description of each parameter, in one line."""
    entries = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", docstring, re.MULTILINE)
    return {
        name: " ".join(f"{text[0].upper()}{text[1:]}".replace("``", "").split()).rstrip(".")
        for name, text in entries
    }


def checked(call: T) -> T:
    """A function, or a class, that raises ValueError if an argument is out of its range.

    Options are checked, and so are arguments without a default whose type says a range.
    """
    if isinstance(call, type):
        call.__init__ = checked(call.__init__)  # type: ignore[misc]
        return call
    parameters = inspect.signature(call, eval_str=True).parameters
    kinds = {name: _range(parameter.annotation) for name, parameter in parameters.items()}
    options = {name: Option(name, None, "", kind) for name, kind in kinds.items() if kind}
    if not options:
        return call
    names = list(parameters)

    @functools.wraps(call)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for name, value in (*zip(names, args, strict=False), *kwargs.items()):
            if name in options:
                options[name].check(value)
        return call(*args, **kwargs)

    return wrapper  # type: ignore[return-value]
