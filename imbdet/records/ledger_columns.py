"""A ledger as Arrow tables: of objects, of images and of places in images."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from imbdet.records.file_boxes import EDGES
from imbdet.records.ledger import Ledger
from imbdet.records.ledger_rows import LedgerRows
from imbdet.records.places import EMPTY, mean_boxes


def _column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"meaning": meaning})


def _nullable(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return _column(name, kind, meaning).with_nullable(True)


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
        _nullable("score_best", pa.float32(), "highest score of its class of a positive"),
        _nullable("score_mean", pa.float64(), "mean of the same over its positives"),
        _nullable("iou_best", pa.float32(), "highest IoU after regression of a positive"),
        _nullable("iou_mean", pa.float64(), "mean of the same over its positives"),
        _nullable("cls_loss_mean", pa.float64(), "of its positives, before weights"),
        _nullable("cls_loss_variance", pa.float64(), "of the same"),
        _nullable("box_loss_mean", pa.float64(), "of its positives, before weights"),
        _nullable("box_loss_variance", pa.float64(), "of the same"),
        _nullable("first_learnt", pa.int32(), "iteration at which it was first learnt, from 0"),
        _column("learnt", pa.int32(), "judged sights at which it was learnt"),
        _nullable("is_learnt", pa.bool_(), "whether it was at the last judged sight"),
        _column("forgotten", pa.int32(), "how often learnt at a judged sight, not at the next"),
        _nullable(
            "gradient_share", pa.float64(), "of the sum of |p - p*| times weight of positives"
        ),
        _column("wrong", pa.int32(), "judged sights at which another class was said"),
        _nullable("wrong_class", pa.int32(), "said instead, if one is in most of these"),
        _nullable("wrong_class_least", pa.int32(), "sights at which it was said, at least"),
        _nullable("rival_mean", pa.float64(), "highest other score / (it + its own score); judged"),
        _nullable("shift_x0", pa.float64(), "of its left edge to where it is said, in pixels"),
        _nullable("shift_y0", pa.float64(), "the same of its upper edge"),
        _nullable("shift_x1", pa.float64(), "the same of its right edge"),
        _nullable("shift_y1", pa.float64(), "the same of its lower edge"),
        _nullable("shift_spread", pa.float64(), "standard deviation of these over its positives"),
    ],
)

# One row per image.
IMAGES = pa.schema(
    [
        _column("dataset", pa.string(), "name of the data set"),
        _column("image_id", pa.string(), "as the data set names the image"),
        _column("annotations", pa.int32(), "their number, ignored ones included"),
        _column("seen", pa.int32(), "how often it was shown"),
        _nullable("background_best", pa.float32(), "highest score of a negative far from objects"),
        _nullable("background_mean", pa.float64(), "mean over sights of the highest of each"),
        _nullable("loss_share", pa.float64(), "of the sum of all samples' losses times weights"),
    ],
)

# One row per place of an image that is said to be an object.
PLACES = pa.schema(
    [
        _column("dataset", pa.string(), "name of the data set"),
        _column("image_id", pa.string(), "as the data set names the image"),
        _column("class", pa.int32(), "that has most of its votes, from 0"),
        _column("sights", pa.int32(), "at which it was said, since it is kept"),
        _column("votes", pa.float64(), "sum of the squares of its scores at these"),
        _column("lead", pa.float64(), "its votes that others did not vote down"),
        _column("x0", pa.float64(), "left edge of the mean box, in pixels of the file"),
        _column("y0", pa.float64(), "upper edge"),
        _column("x1", pa.float64(), "right edge"),
        _column("y1", pa.float64(), "lower edge"),
    ],
)


def objects_table(ledger: Ledger, rows: LedgerRows, metadata: Mapping[str, str]) -> pa.Table:
    """The table of the objects.

    Args:
        ledger: the ledger.
        rows: images and annotations of the ledger's rows.
        metadata: metadata of the file.
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
        "rival_mean": _mean(own["rival"], own["judged"]),
    }
    columns |= _shifts(own)
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


def places_table(ledger: Ledger, rows: LedgerRows, metadata: Mapping[str, str]) -> pa.Table:
    """The table of the places of images; see :func:`objects_table`."""
    images, slots = (ledger.images["place_lead"] > 0).nonzero(as_tuple=True)
    own = {name: ledger.images[name][images, slots].numpy() for name in EMPTY}
    boxes = mean_boxes(ledger.images)[images, slots].double().numpy()
    columns = {
        "dataset": _taken(rows.datasets, images.numpy()),
        "image_id": _taken(rows.image_ids, images.numpy()),
        "class": own["place_class"],
        "sights": own["place_sights"],
        "votes": own["place_votes"].astype(np.float64),
        "lead": own["place_lead"],
        **dict(zip(EDGES, boxes.T, strict=True)),
    }
    return _table(columns, PLACES, metadata)


# The files of a ledger by name: their columns, and the functions that make their tables.
SCHEMAS = {"objects": OBJECTS, "images": IMAGES, "places": PLACES}
TABLES = {"objects": objects_table, "images": images_table, "places": places_table}


def _shifts(own: Mapping[str, np.ndarray]) -> dict[str, pa.Array]:
    """Mean shifts of each object's boxes, weighted by their scores, and the standard deviation.

    Boxes of one object vote by their scores, as detections do in Gidaris and Komodakis, "Object
    detection via a multi-region & semantic segmentation-aware CNN model", ICCV 2015.
    """
    weight = own["score"]
    means = _divided(own["shift"].T, weight)
    # Variances of the four sides together.
    variances = _variances_of(_divided(own["shift_square"], weight), (means**2).mean(axis=0))
    columns = {f"shift_{edge}": _known(mean) for edge, mean in zip(EDGES, means, strict=True)}
    return {**columns, "shift_spread": _known(np.sqrt(variances))}


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
    """The values, with null for NaN, which stands for what is unknown."""
    return _where(~np.isnan(values), values)


def _mean(sums: np.ndarray, numbers: np.ndarray) -> pa.Array:
    return _known(_divided(sums, numbers))


def _variances(sums: np.ndarray, squares: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return _variances_of(_divided(squares, numbers), _divided(sums, numbers) ** 2)


def _variances_of(mean_squares: np.ndarray, squared_means: np.ndarray) -> np.ndarray:
    variances: np.ndarray = mean_squares - squared_means
    return variances.clip(min=0.0)


def _share(sums: np.ndarray) -> pa.Array:
    return _known(_divided(sums, np.full(len(sums), sums.sum())))


def _divided(sums: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients: np.ndarray = np.where(numbers > 0, sums / numbers, np.nan)
    return quotients
