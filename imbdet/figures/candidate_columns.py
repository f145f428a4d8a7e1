"""The columns of the tables that an analysis keeps of its candidates."""

from collections.abc import Sequence

import pyarrow as pa

from imbdet.figures.columns import BOX, SIGNS, chosen_by, object_by

IMAGES = pa.schema(
    [
        ("image_id", pa.string()),
        ("file_name", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("num_candidates", pa.int32()),
        ("num_not_finite", pa.int32()),
    ]
)

# Boxes are in pixels of the original image.
_BOX = [(name, pa.float32()) for name in BOX]

OBJECTS = pa.schema(
    [
        ("image_id", pa.string()),
        ("gt_id", pa.int32()),
        ("class", pa.int32()),
        *_BOX,
        ("area", pa.float32()),
        ("num_positives", pa.int32()),
    ]
)

# Ignored regions: crowds, if the config says so, and ignored objects.
REGIONS = pa.schema([("image_id", pa.string()), *_BOX])

# The positives of an object by an assigner.
ASSIGNED = pa.schema(
    [
        ("image_id", pa.string()),
        ("assigner", pa.string()),
        ("gt_id", pa.int32()),
        ("area", pa.float32()),
        ("num_positives", pa.int32()),
        ("num_ambiguous", pa.int32()),
        ("sum_ious", pa.float32()),
    ]
)

DETECTIONS = pa.schema(
    [
        ("variant", pa.string()),
        ("image_id", pa.string()),
        ("class", pa.int32()),
        ("score", pa.float32()),
        *_BOX,
    ]
)

_CANDIDATES = [
    pa.field("image_id", pa.string()),
    *(pa.field(name, kind) for name, kind in _BOX),
    pa.field("label", pa.int8(), metadata={"meaning": "1 positive, 0 negative, -1 ignored"}),
    pa.field(
        "is_in_region",
        pa.bool_(),
        metadata={"meaning": "ignored since enough of it lies in an ignored region"},
    ),
    pa.field("is_gt", pa.bool_(), metadata={"meaning": "a ground-truth box, as in training"}),
    pa.field(
        "weight",
        pa.float32(),
        metadata={"meaning": "factor of its losses by the data: of its object and its image"},
    ),
    pa.field("iou", pa.float32(), metadata={"meaning": "highest with any object"}),
    pa.field("cls_loss", pa.float32(), metadata={"meaning": "before weights"}),
    pa.field("score", pa.float32(), metadata={"meaning": "of its class; negatives: the highest"}),
    pa.field(
        "hierarchical_rank",
        pa.int32(),
        metadata={
            "meaning": "positives: IoU-HLR in image and class; negatives: Score-HLR in image"
        },
    ),
    # Columns of the positives; null for all others.
    pa.field("class", pa.int32()),
    pa.field("gt_id", pa.int32(), metadata={"meaning": "the object's place in the image"}),
    pa.field("pred_iou", pa.float32(), metadata={"meaning": "IoU after regression"}),
    pa.field("local_rank", pa.int32(), metadata={"meaning": "by pred_iou, of its object"}),
    pa.field("negatives_above", pa.int32(), metadata={"meaning": "entries at or above its score"}),
    *(
        pa.field(f"error_d{name}", pa.float32(), metadata={"meaning": "predicted - target delta"})
        for name in "xywh"
    ),
]
# Types by the name of a column.
TYPES = {
    field.name: field.type for field in (*IMAGES, *OBJECTS, *ASSIGNED, *DETECTIONS, *_CANDIDATES)
}


def candidate_schema(
    positive: Sequence[str], negative: Sequence[str], assigners: Sequence[str] = ()
) -> pa.Schema:
    """Columns of the candidates, with one for each sampler and for each assigner."""
    choices = []
    for name in dict.fromkeys([*positive, *negative]):
        signs = [
            sign for sign, names in zip(SIGNS, (positive, negative), strict=True) if name in names
        ]
        choices.append(pa.field(chosen_by(name), pa.bool_(), metadata={"picks": " ".join(signs)}))
    objects = [pa.field(object_by(name), pa.int32()) for name in assigners]
    return pa.schema([*_CANDIDATES, *choices, *objects])
