"""Keys of evaluations: what they compute, count and draw."""

from typing import Annotated

from imbdet.methods.options import NonNegative, Range


class Test:
    """Evaluation.

    Attributes:
        validation_loss: whether a training computes its losses on the test sets, too, in each
            evaluation; metrics.json has them as "validation/total_loss" and so on.
        coco_library: which library computes COCO's metrics: "faster-coco-eval" or "pycocotools".
            The numbers are the same.
        max_detections: how many detections of a class in an image count, those of the highest
            scores. With another number than COCO's 100 the metrics are not COCO's.
            DETECTIONS_PER_IMAGE is the number that the detector returns, of all classes. LVIS's
            data sets have no such limit, but one of 300 in an image.
        frequency_bounds: in how many training images the objects of a class are at most that is
            rare, and of one that is common; the others are frequent. APr, APc and APf are those of
            each group. The default is LVIS's, whose own data sets say which classes are which.
        num_pictures: how many test images to draw after an evaluation, ground truth beside
            detections; 0 is none.
        picture_score_thresh: lowest score of a detection that is drawn, also by `imbdet predict`.
            -1 is the best threshold of each class, by optimal LRP, as the evaluation found it; 0.3
            without one.
    """

    validation_loss: bool = False
    coco_library: str = "faster-coco-eval"
    max_detections: Annotated[int, Range(10)] = 100
    frequency_bounds: Annotated[tuple[int, int], Range(0)] = (10, 100)
    num_pictures: NonNegative = 8
    picture_score_thresh: Annotated[float, Range(-1, 1)] = -1.0
