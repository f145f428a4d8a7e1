"""Registries of what a YAML file can name: assigners, samplers, weightings and losses.

A method is registered where it is written, with its name, a summary, its source and attributes that
its place uses; its options are its parameters (:mod:`imbdet.methods.options`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from imbdet.methods.options import Option, checked, options_of

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Method:
    """A function, or a class whose instances are called.

    Attributes:
        name: name by which a YAML file chooses it.
        summary: one sentence.
        source: authors, place and address of the paper; empty where there is none.
        options: its options, in the order of its parameters.
        call: the function or class; None for a method that was read and not imported.
        given: names of the options that have no key: the place or a caller gives them.
    """

    name: str
    summary: str
    source: str = ""
    options: tuple[Option, ...] = ()
    call: Callable[..., Any] | None = field(default=None, repr=False)
    given: tuple[str, ...] = ()

    @property
    def own_options(self) -> list[Option]:
        """Options with a key of their own."""
        return [option for option in self.options if option.name not in self.given]

    def build(self, **options: Any) -> Any:
        """The method with its options bound."""
        assert self.call is not None
        if isinstance(self.call, type):
            return self.call(**options)
        return partial(self.call, **options) if options else self.call


@dataclass(frozen=True, kw_only=True)
class AssignerMethod(Method):
    """An :class:`imbdet.assigners.Assigner`.

    Attributes:
        uses: what it needs of the priors: "levels" or "strides" of a feature pyramid.
        places: where it can be used: "dense heads", all of whose anchors or points are priors,
            or "RoI heads", whose proposals are.
        inside: whether the centre of a positive always lies in its object.
        grades: whether it returns a quality of the positives.
    """

    uses: tuple[str, ...] = ()
    places: tuple[str, ...] = ("dense heads",)
    inside: bool = False
    grades: bool = False


@dataclass(frozen=True, kw_only=True)
class ClsLossMethod(Method):
    """A classification loss of (M, C) logits and (M,) labels.

    Attributes:
        activation: what turns logits into scores: the name of a
            :class:`imbdet.structures.classifiers.Classifier`, or of one that the loss brings as an
            attribute.
        ranks: whether it is a scalar for the ranking of all samples, rather than (M,) losses.
        uses_quality: see :class:`imbdet.learning.criteria.SampleLoss`.
        is_normalized: see :class:`imbdet.learning.criteria.SampleLoss`.
        takes: see :class:`imbdet.learning.criteria.SampleLoss`.
        balances_classes: whether it depends on the frequencies of classes, so that there must be
            several; a loss that is a Python class then takes their number.
        numbers: name of the numbers per class that a function takes as its third argument; see
            :meth:`imbdet.losses.class_frequencies.KnownFrequencies.numbers`. Empty: none.
        is_criterion: whether it is a :class:`imbdet.learning.criteria.Criterion` of its own.
        box_loss: name of the only box loss that it goes with; empty if any does.
    """

    activation: str = "sigmoid"
    ranks: bool = False
    uses_quality: bool = False
    is_normalized: bool = False
    takes: tuple[str, ...] = ()
    balances_classes: bool = False
    numbers: str = ""
    is_criterion: bool = False
    box_loss: str = ""


@dataclass(frozen=True, kw_only=True)
class BoxLossMethod(Method):
    """A box loss: (P, 4) predictions and (P, 4) targets to (P,) losses.

    Attributes:
        compares: "deltas", or "boxes" for the decoded predictions and the ground truth.
        is_normalized: see :class:`imbdet.learning.criteria.BoxLoss`.
        takes: see :class:`imbdet.learning.criteria.BoxLoss`.
        uses_iteration: whether it takes the keyword ``iteration``, that of the training, from 0.
    """

    compares: str = "deltas"
    is_normalized: bool = False
    takes: tuple[str, ...] = ()
    uses_iteration: bool = False


@dataclass(frozen=True, kw_only=True)
class SamplerMethod(Method):
    """A :class:`imbdet.samplers.PoolSampler`.

    Attributes:
        compares_pairs: whether it compares all pairs of its pool, for which anchors are too many.
        for_anchors: values that its options must have where the candidates are all anchors;
            with other values it compares all pairs.
        ranks: whether its picks have an importance.
    """

    compares_pairs: bool = False
    for_anchors: Mapping[str, float] = field(default_factory=dict)
    ranks: bool = False


@dataclass(frozen=True, kw_only=True)
class WeightingMethod(Method):
    """A :class:`imbdet.weighting.Weighting`.

    Attributes:
        needs_ranks: whether it weighs negatives by the importance that their sampler gave them.
    """

    needs_ranks: bool = False


M = TypeVar("M", bound=Method)


class Registry(Generic[M]):
    """Methods of a kind by name."""

    def __init__(self, title: str, kind: type[M]):
        """Start empty.

        Args:
            title: heading of the methods in lists.
            kind: type of the methods.
        """
        self.title = title
        self.kind = kind
        self._methods: dict[str, M] = {}

    def __iter__(self) -> Iterator[tuple[str, M]]:
        """Names and methods in the order of the names."""
        yield from sorted(self._methods.items())

    def get(self, name: str) -> M:
        """The method of a registered name."""
        return self._methods[name]

    def register(
        self,
        name: str,
        summary: str,
        source: str = "",
        *,
        also: "Registry[M] | None" = None,
        **about: Any,
    ) -> Callable[[T], T]:
        """A decorator that registers a function or a class, and checks its options at each call.

        Args:
            name: name by which a YAML file chooses it.
            summary: one sentence.
            source: authors, place and address of the paper.
            also: another registry that it is added to.
            about: other attributes of its :class:`Method`.

        Raises:
            ValueError: the name is taken.
        """

        def decorate(call: T) -> T:
            call = checked(call)
            about.update(name=name, summary=summary, source=source)
            method = self.kind(**about, options=options_of(call), call=call)
            for registry in [self, also] if also else [self]:
                registry.add(method)
            return call

        return decorate

    def add(self, method: M) -> None:
        """Register a method.

        Raises:
            ValueError: the name is taken.
        """
        if method.name in self._methods:
            raise ValueError(f"{self.title}: '{method.name}' is registered twice")
        self._methods[method.name] = method


CLS_LOSSES = Registry("Classification losses", ClsLossMethod)
BOX_LOSSES = Registry("Box losses", BoxLossMethod)
POSITIVE_SAMPLERS = Registry(
    "Samplers of positives, two-stage (RetinaNet takes all positives)", SamplerMethod
)
NEGATIVE_SAMPLERS = Registry("Samplers of negatives", SamplerMethod)
WEIGHTINGS = Registry("Weightings", WeightingMethod)
ASSIGNERS = Registry("Assigners", AssignerMethod)
REGISTRIES: dict[str, Registry[Any]] = {
    "CLS_LOSSES": CLS_LOSSES,
    "BOX_LOSSES": BOX_LOSSES,
    "POSITIVE_SAMPLERS": POSITIVE_SAMPLERS,
    "NEGATIVE_SAMPLERS": NEGATIVE_SAMPLERS,
    "WEIGHTINGS": WEIGHTINGS,
    "ASSIGNERS": ASSIGNERS,
}
