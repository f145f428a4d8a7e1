"""How often an epoch shows each image, so that rare or badly learned objects come more often.

Shape shorthand: N images. Records are detectron2's dicts.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from imbdet.errors import UserError
from imbdet.untrusted.parquet import read_parquet

# Size limit of a file with records of a run.
_MAX_BYTES = 1 << 30


def by_class(records: Sequence[Mapping], threshold: float, *, sqrt: bool = True) -> np.ndarray:
    """(N,) float32: max(1, sqrt(t / f)) of each image's rarest class, in the share f of images.

    Gupta et al., "LVIS", CVPR 2019, https://arxiv.org/abs/1908.03195. Crowds are counted, as by
    detectron2, but ignored annotations are not.

    Args:
        records: records of the images.
        threshold: t, the share of images below which a class is shown more often.
        sqrt: False takes t / f without the square root.
    """
    images = _count_images(records)
    power = 0.5 if sqrt else 1.0
    return _of_rarest(records, lambda k: (threshold * len(records) / images[k]) ** power)


def by_instances(records: Sequence[Mapping], threshold: float) -> np.ndarray:
    """(N,) float32: :func:`by_class` with the geometric mean of shares of images and objects as f.

    Yaman et al., "Instance-Aware Repeat Factor Sampling for Long-Tailed Object Detection", 2023,
    https://arxiv.org/abs/2305.08069

    Args:
        records: records of the images.
        threshold: t, the frequency below which a class is shown more often.
    """
    images, objects = _count_images(records), _count_objects(records)
    num_objects = objects.total()

    def factor(number: int) -> float:
        frequency = math.sqrt(images[number] / len(records) * objects[number] / num_objects)
        return math.sqrt(threshold / frequency)

    return _of_rarest(records, factor)


def by_data_set(records: Sequence[Mapping], factors: Mapping[str, float]) -> np.ndarray:
    """(N,) float32: the factor of each image's data set, 1 for data sets without one.

    Args:
        records: records of the images, with "dataset_name".
        factors: factors >= 0 by the name of the data set.
    """
    return np.array([factors.get(record["dataset_name"], 1) for record in records], np.float32)


def by_loss(records: Sequence[Mapping], run: str, max_repeats: float) -> np.ndarray:
    """(N,) float32 in [1, ``max_repeats``]: an image's mean loss relative to that of all images.

    The loss is the classification loss of the positives of RoI heads or dense heads, a mean over
    all records of the image in a training. Images without records have 1.

    Args:
        records: records of the images, with "dataset_name".
        run: folder of a training with records.
        max_repeats: highest factor.

    Raises:
        UserError: the folder has no records, or none with the losses of these images; or images of
            two data sets have the same id, by which alone records identify them.
    """
    _require_own_ids(records)
    sums: defaultdict[str, float] = defaultdict(float)
    numbers: Counter[str] = Counter()
    for path in _part_files(run):
        for image_id, loss in _losses_in(path):
            sums[image_id] += loss
            numbers[image_id] += 1
    ids = [str(record["image_id"]) for record in records]
    means = {image_id: sums[image_id] / numbers[image_id] for image_id in set(ids) & set(sums)}
    if not means:
        raise UserError(
            f"The records in '{run}' have no classification losses of images of this training: "
            "name a run on the same data, with a loss that each sample pays for itself."
        )
    mean = sum(means.values()) / len(means)
    factors = [means.get(image_id, mean) / mean if mean > 0 else 1.0 for image_id in ids]
    return np.clip(np.array(factors, np.float32), 1, max_repeats)


def _require_own_ids(records: Sequence[Mapping]) -> None:
    dataset_of: dict[str, str] = {}
    for record in records:
        image_id, dataset = str(record["image_id"]), record["dataset_name"]
        first = dataset_of.setdefault(image_id, dataset)
        if first != dataset:
            raise UserError(
                f"DATALOADER.LOSS_RECORDS: an image of '{first}' and one of '{dataset}' have the "
                f"id {image_id}, by which records know an image: number the images of these data "
                "sets differently, or choose another DATALOADER.SAMPLER_TRAIN."
            )


def by_hardness(hardness: np.ndarray, max_repeats: float) -> np.ndarray:
    """(N,) float32 in [1, ``max_repeats``]: 1 + (``max_repeats`` - 1) times the hardness.

    Args:
        hardness: (N,) in [0, 1], see :func:`imbdet.records.hardness.hardness_of_images`.
        max_repeats: highest factor, at least 1.
    """
    return (1 + (max_repeats - 1) * hardness).astype(np.float32)


def _count_images(records: Sequence[Mapping]) -> Counter[int]:
    """Number of images of each class."""
    return Counter(number for record in records for number in _classes_of(record))


def _count_objects(records: Sequence[Mapping]) -> Counter[int]:
    return Counter(number for record in records for number in _labels_of(record))


def _classes_of(record: Mapping) -> set[int]:
    return set(_labels_of(record))


def _labels_of(record: Mapping) -> list[int]:
    """The class of each annotation that is not ignored, crowds included."""
    return [note["category_id"] for note in record["annotations"] if not note.get("ignore")]


def _of_rarest(records: Sequence[Mapping], factor: Callable[[int], float]) -> np.ndarray:
    """(N,) float32, at least 1: the highest factor of an image's classes."""
    factors: dict[int, float] = {}
    for number in {number for record in records for number in _classes_of(record)}:
        factors[number] = max(1.0, factor(number))
    highest = [max(map(factors.get, _classes_of(record)), default=1.0) for record in records]
    return np.array(highest, np.float32)


def _part_files(run: str) -> list[Path]:
    folder = Path(run) / "records" / "samples"
    paths = sorted(folder.glob("part-*.parquet"))
    if not paths:
        raise UserError(
            f"There are no records in '{folder}': name the OUTPUT_DIR of a training with "
            "RECORD.PERIOD above 0."
        )
    return paths


def _losses_in(path: Path) -> list[tuple[str, float]]:
    """Ids of images and classification losses of their positives."""
    columns = ["site", "image_id", "is_positive", "cls_loss"]
    try:
        table = read_parquet(path, max_bytes=_MAX_BYTES, columns=columns)
    except (OSError, ValueError) as error:
        raise UserError(f"Records '{path}' cannot be read: {error}.") from error
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    return [
        (image_id, loss)
        for site, image_id, is_positive, loss in rows
        if is_positive and site != "rpn" and loss is not None and math.isfinite(loss)
    ]
