"""A ledger as tables of Arrow, one of objects and one of images."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from imbdet.records.ledger import Ledger
from imbdet.records.ledger_rows import LedgerRows


def _column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning})


# One row per annotation. docs/ledger.md says more, and when a column is null.
OBJECTS = pa.schema(
    [
        _column("dataset", pa.string(), "name of the data set"),
        _column("image_id", pa.string(), "as the data set names the image"),
        _column("id", pa.string(), "as the data set names the annotation"),
        _column("class", pa.int32(), "of the object, from 0"),
        _column("is_ignored", pa.bool_(), "whether it is a crowd or ignored, never an object"),
        _column("seen", pa.int32(), "how often an image was shown with it"),
        _column("positives", pa.int32(), "number of its positives, of all sights"),
        _column("judged", pa.int32(), "sights at which it had a positive"),
        _column("score_best", pa.float32(), "highest score of its class of a positive"),
        _column("score_mean", pa.float64(), "mean of the same over its positives"),
        _column("iou_best", pa.float32(), "highest IoU after regression of a positive"),
        _column("iou_mean", pa.float64(), "mean of the same over its positives"),
        _column("cls_loss_mean", pa.float64(), "of its positives, before weights"),
        _column("cls_loss_variance", pa.float64(), "of the same"),
        _column("box_loss_mean", pa.float64(), "of its positives, before weights"),
        _column("box_loss_variance", pa.float64(), "of the same"),
        _column("first_learnt", pa.int32(), "iteration at which it was first learnt, from 0"),
        _column("learnt", pa.int32(), "judged sights at which it was learnt"),
        _column("is_learnt", pa.bool_(), "whether it was at the last judged sight"),
        _column("forgotten", pa.int32(), "how often learnt at a judged sight, not at the next"),
        _column("gradient_share", pa.float64(), "of the sum of |p - p*| times weight of positives"),
        _column("wrong", pa.int32(), "judged sights at which another class was said"),
        _column("wrong_class", pa.int32(), "said instead, if one is in most of these"),
        _column("wrong_class_least", pa.int32(), "sights at which it was said, at least"),
    ],
)

# One row per image.
IMAGES = pa.schema(
    [
        _column("dataset", pa.string(), "name of the data set"),
        _column("image_id", pa.string(), "as the data set names the image"),
        _column("annotations", pa.int32(), "their number, ignored ones included"),
        _column("seen", pa.int32(), "how often it was shown"),
        _column("background_best", pa.float32(), "highest score of a negative far from objects"),
        _column("background_mean", pa.float64(), "mean over sights of the highest of each"),
        _column("loss_share", pa.float64(), "of the sum of all samples' losses times weights"),
    ],
)


def objects_table(ledger: Ledger, rows: LedgerRows, metadata: Mapping[str, str]) -> pa.Table:
    """The table of the objects.

    Args:
        ledger: the numbers.
        rows: whose they are.
        metadata: of the file.
    """
    own = {name: values.numpy() for name, values in ledger.objects.items()}
    number, has_positives = own["positives"], own["positives"] > 0
    images = np.arange(len(rows.datasets)).repeat(rows.num_objects)
    counts = ("seen", "positives", "judged", "learnt", "forgotten", "wrong")
    columns = {
        "dataset": _taken(rows.datasets, images),
        "image_id": _taken(rows.image_ids, images),
        "id": pa.array(rows.object_ids, pa.string()),
        "class": rows.classes,
        "is_ignored": rows.is_ignored,
        **{name: own[name] for name in counts},
        "score_best": _where(has_positives, own["best_score"]),
        "iou_best": _where(has_positives, own["best_iou"]),
        "score_mean": _mean(own["score"], number),
        "iou_mean": _mean(own["iou"], number),
        "first_learnt": _where(own["learnt"] > 0, own["first_learnt"]),
        "is_learnt": _where(has_positives, own["is_learnt"]),
        "gradient_share": _share(own["gradient"]),
        "wrong_class": _where(own["wrong_lead"] > 0, own["wrong_class"]),
        "wrong_class_least": _where(own["wrong_lead"] > 0, own["wrong_lead"]),
    }
    for name in ("cls_loss", "box_loss"):
        columns[f"{name}_mean"] = _mean(own[name], number)
        variances = _variances(own[name], own[f"{name}_square"], number)
        columns[f"{name}_variance"] = _known(variances)
    return _table(columns, OBJECTS, metadata)


def images_table(ledger: Ledger, rows: LedgerRows, metadata: Mapping[str, str]) -> pa.Table:
    """The table of the images; see :func:`objects_table`."""
    own = {name: values.numpy() for name, values in ledger.images.items()}
    sights = own["background_sights"]
    columns = {
        "dataset": pa.array(rows.datasets, pa.string()),
        "image_id": pa.array(rows.image_ids, pa.string()),
        "annotations": rows.num_objects,
        "seen": own["seen"],
        "background_best": _where(sights > 0, own["best_background"]),
        "background_mean": _mean(own["background"], sights),
        "loss_share": _share(own["loss"]),
    }
    return _table(columns, IMAGES, metadata)


def _table(
    columns: Mapping[str, object], schema: pa.Schema, metadata: Mapping[str, str]
) -> pa.Table:
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema.with_metadata(metadata))


def _taken(names: list[str], idxs: np.ndarray) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(idxs))


def _where(is_known: np.ndarray, values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=~is_known)


def _known(values: np.ndarray) -> pa.Array:
    """NaN, which is what is not told or of nothing, becomes null."""
    return _where(~np.isnan(values), values)


def _mean(sums: np.ndarray, numbers: np.ndarray) -> pa.Array:
    return _known(_divided(sums, numbers))


def _variances(sums: np.ndarray, squares: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    variances: np.ndarray = _divided(squares, numbers) - _divided(sums, numbers) ** 2
    return variances.clip(min=0.0)


def _share(sums: np.ndarray) -> pa.Array:
    return _known(_divided(sums, np.full(len(sums), sums.sum())))


def _divided(sums: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients: np.ndarray = np.where(numbers > 0, sums / numbers, np.nan)
    return quotients
