"""The options of the data set `shapes`, checked."""

import dataclasses
import hashlib
import json
import math
import numbers

from detectron2.config import CfgNode

from imbdet.config_files.keys import MAX_SEED
from imbdet.errors import UserError

CLASS_NAMES = ("circle", "square", "triangle", "star", "cross", "diamond", "pentagon", "hexagon")

# Raise it with every change of the data that the same options generate: older data sets then keep
# folders of their own.
GENERATOR_VERSION = 1

_MIN_OBJECT_SIZE = 4

# Lowest IoU of a displaced box with the right one.
MIN_IOU = 0.3

# Options that were added later: shares of faults, with the options of their size. They are left out
# of the digest where the share is 0, so that older data sets keep theirs.
_LATER_FAULTS = {
    "box_noise": ("box_noise_iou",),
    "missing_fraction": (),
    "duplicate_fraction": ("duplicate_iou",),
}


@dataclasses.dataclass(frozen=True)
class ShapesOptions:
    """The keys of ``DATASETS.SHAPES``; see :mod:`imbdet.reference.key_groups`.

    Raises:
        UserError: a value is out of its range; the message names the key, the value and the range.
    """

    num_train: int
    num_val: int
    image_size: int
    object_size: tuple[float, float]
    class_frequencies: tuple[float, ...]
    objects_per_image: float
    clutter_ratio: float
    empty_fraction: float
    crowd_fraction: float
    label_noise: float
    box_noise: float
    box_noise_iou: tuple[float, float]
    missing_fraction: float
    duplicate_fraction: float
    duplicate_iou: tuple[float, float]
    seed: int

    def __post_init__(self) -> None:
        for name in ("num_train", "num_val"):
            self._check_int(name, low=1, high=1_000_000)
        self._check_int("image_size", low=32, high=2048)
        self._check_int("seed", low=0, high=MAX_SEED)
        self._check_number("objects_per_image", low=1, high=100)
        self._check_number("clutter_ratio", low=0, high=10)
        for name in ("empty_fraction", "crowd_fraction", "label_noise", *_LATER_FAULTS):
            self._check_number(name, low=0, high=1)
        for name in ("box_noise_iou", "duplicate_iou"):
            self._check_ious(name)
        self._check_object_size()
        self._check_class_frequencies()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "ShapesOptions":
        """The options under ``cfg.DATASETS.SHAPES``."""
        node = cfg.DATASETS.SHAPES
        return cls(**{field.name: node[field.name.upper()] for field in dataclasses.fields(cls)})

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, the first K of :data:`CLASS_NAMES`."""
        return CLASS_NAMES[: len(self.class_frequencies)]

    def num_images(self, split: str) -> int:
        """The number of images of a split, "train" or "val"."""
        return {"train": self.num_train, "val": self.num_val}[split]

    def as_json(self) -> str:
        """All options that determine the generated data, in a form that can be compared."""
        values = {"generator_version": GENERATOR_VERSION, **dataclasses.asdict(self)}
        for share, sizes in _LATER_FAULTS.items():
            if values[share] == 0:
                for name in (share, *sizes):
                    del values[name]
        return json.dumps(values, indent=2)

    def digest(self) -> str:
        """Ten hexadecimal digits that differ for options that generate something else."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()[:10]

    def _check_int(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if not _is_number(value) or value != int(value) or not low <= value <= high:
            self._refuse(name, f"a whole number from {low} to {high}")
        # Equal values have to be written equally, or their digests differ.
        object.__setattr__(self, name, int(value))

    def _check_number(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not _is_number(value) or not low <= value <= high:
            self._refuse(name, f"a number from {low} to {high}")
        object.__setattr__(self, name, float(value))

    def _check_ious(self, name: str) -> None:
        ious = _as_floats(getattr(self, name))
        if len(ious) != 2 or not MIN_IOU <= ious[0] <= ious[1] <= 1:
            self._refuse(name, f"the lowest and the highest IoU, from {MIN_IOU} to 1")
        object.__setattr__(self, name, ious)

    def _check_object_size(self) -> None:
        # Objects larger than half the image would leave no place for a second one.
        largest = self.image_size // 2
        sizes = _as_floats(self.object_size)
        if len(sizes) != 2 or not _MIN_OBJECT_SIZE <= sizes[0] <= sizes[1] <= largest:
            self._refuse(
                "object_size",
                f"the smallest and the largest size, from {_MIN_OBJECT_SIZE} to {largest} (half of "
                "DATASETS.SHAPES.IMAGE_SIZE)",
            )
        object.__setattr__(self, "object_size", sizes)

    def _check_class_frequencies(self) -> None:
        frequencies = _as_floats(self.class_frequencies)
        if not 1 <= len(frequencies) <= len(CLASS_NAMES) or min(frequencies) <= 0:
            self._refuse(
                "class_frequencies", f"one positive number a class, for 1 to {len(CLASS_NAMES)}"
            )
        if self.label_noise > 0 and len(frequencies) == 1:
            self._refuse("label_noise", "0 with a single class, as there is no other to confuse")
        object.__setattr__(self, "class_frequencies", frequencies)

    def _refuse(self, name: str, allowed: str) -> None:
        raise UserError(
            f"DATASETS.SHAPES.{name.upper()} is {getattr(self, name)!r}, but has to be {allowed}."
        )


def _is_number(value: object) -> bool:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def _as_floats(values: object) -> tuple[float, ...]:
    """``values`` as a tuple of floats; an empty one if they are anything but numbers."""
    if not isinstance(values, (tuple, list)) or not all(_is_number(value) for value in values):
        return ()
    return tuple(float(value) for value in values)
