"""Every key that imbdet adds to detectron2's config, by its full name.

Options of methods are not listed here: each is a key because a method declares it, in the group
that has the method's name. The other keys are those of :mod:`imbdet.reference.key_groups`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from imbdet.methods import Method, Registry
from imbdet.methods.options import Option, fields_of
from imbdet.reference.key_groups import MODELING_GROUPS, OTHER_GROUPS


class Family(NamedTuple):
    """The methods of a registry, and the groups of keys that name and rule them.

    Attributes:
        registry: name of the registry in :mod:`imbdet.methods`.
        nodes: groups of keys: that of the detector and, where there is one, that of the RPN.
        key: key of these groups that names one or several methods.
        default: default of the key.
        empty: meaning of an empty key, in each group.
    """

    registry: str
    nodes: tuple[str, ...]
    key: str
    default: str | list[str]
    empty: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        """Full names of the keys that name methods."""
        return [f"{node}.{self.key}" for node in self.nodes]


_CLS_LOSSES = (
    'Empty is detectron2\'s: "focal" of RetinaNet, "softmax_cross_entropy" of the RoI heads',
    'Empty is detectron2\'s "sigmoid_cross_entropy"',
)
_BOX_LOSSES = (
    "Empty leaves it to detectron2's MODEL.RETINANET.BBOX_REG_LOSS_TYPE or "
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE. Smooth L1's transition point stays detectron2's "
    "SMOOTH_L1_(LOSS_)BETA",
    "Empty leaves it to detectron2's MODEL.RPN.BBOX_REG_LOSS_TYPE",
)
_SAMPLERS = ('Empty is detectron2\'s: "all" of RetinaNet, "random" of RoI heads and RPN',) * 2
_ASSIGNERS = ('Empty is detectron2\'s matcher, whose IOU_THRESHOLDS "max_iou" reads, too',) * 2
_SAMPLER_NODES = ("MODEL.SAMPLER", "MODEL.RPN_SAMPLER")
FAMILIES = (
    Family("CLS_LOSSES", ("MODEL.CLS_LOSS", "MODEL.RPN_LOSS.CLS"), "NAME", "", _CLS_LOSSES),
    Family("BOX_LOSSES", ("MODEL.BOX_LOSS", "MODEL.RPN_LOSS.BOX"), "NAME", "", _BOX_LOSSES),
    Family("POSITIVE_SAMPLERS", _SAMPLER_NODES, "POSITIVE.NAME", "", _SAMPLERS),
    Family("NEGATIVE_SAMPLERS", _SAMPLER_NODES, "NEGATIVE.NAME", "", _SAMPLERS),
    Family("WEIGHTINGS", ("MODEL.WEIGHTING",), "NAMES", [], ("Factors multiply. Empty is none",)),
    Family("ASSIGNERS", ("MODEL.ASSIGNER", "MODEL.RPN_ASSIGNER"), "NAME", "", _ASSIGNERS),
)
# Defaults of options that are not those of their methods: the RPN's positives begin at this IoU.
_OTHER_DEFAULTS = {"MODEL.RPN_LOSS.CLS.ALRP.TAU": 0.7}
_NOTES = {
    "MODEL.CLS_LOSS.FEDERATED.NUM_CLASSES": (
        ". The RoI heads read MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES instead"
    ),
    "MODEL.CLS_LOSS.FEDERATED.POWER": (
        ". The RoI heads read MODEL.ROI_BOX_HEAD.FED_LOSS_FREQ_WEIGHT_POWER instead"
    ),
    "MODEL.CLS_LOSS.FOCAL.ALPHA": ". ImbRetinaNet reads MODEL.RETINANET.FOCAL_LOSS_ALPHA instead",
    "MODEL.CLS_LOSS.FOCAL.GAMMA": ". ImbRetinaNet reads MODEL.RETINANET.FOCAL_LOSS_GAMMA instead",
}


def modeling_keys(registries: Mapping[str, Registry[Any]]) -> Iterator[Option]:
    """The keys that ``imbdet.modeling`` reads, with those of the methods, by their full names."""
    for family in FAMILIES:
        registry = registries[family.registry]
        title = registry.title.partition(",")[0]
        for node, key, empty in zip(family.nodes, family.keys, family.empty, strict=True):
            methods = [method for _, method in registry if has_meaning(method, node)]
            names = ", ".join(f'"{method.name}"' for method in methods)
            yield Option(key, family.default, f"{title}: {names}. {empty}")
            for method in methods:
                yield from option_keys(node, method)
    yield from _keys_of(MODELING_GROUPS)


def has_meaning(method: Method, node: str) -> bool:
    """Whether a group of keys takes a method: the RPN only separates objects from background."""
    return not (getattr(method, "balances_classes", False) and node.startswith("MODEL.RPN_"))


def imbdet_keys(registries: Mapping[str, Registry[Any]]) -> Iterator[Option]:
    """All keys, with those of the methods, by their full names."""
    yield from modeling_keys(registries)
    yield from _keys_of(OTHER_GROUPS)


def option_keys(node: str, method: Method) -> Iterator[Option]:
    """The keys of a method's options in a group of keys."""
    for option in method.own_options:
        name = f"{node}.{method.name}.{option.name}".upper()
        yield option._replace(
            name=name,
            default=_OTHER_DEFAULTS.get(name, option.default),
            meaning=option.meaning + _NOTES.get(name, ""),
        )


def _keys_of(groups: Mapping[str, type]) -> Iterator[Option]:
    for node, group in groups.items():
        for option in fields_of(group):
            yield option._replace(name=f"{node}.{option.name}".upper())
