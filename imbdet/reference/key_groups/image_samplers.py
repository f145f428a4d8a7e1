"""Keys of the samplers of images, which decide how often a training shows each image."""

from typing import Annotated

from imbdet.methods.options import Range


class Dataloader:
    """Image samplers, beside detectron2's REPEAT_THRESHOLD; v0.6 lacks some of its keys.

    Attributes:
        random_subset_ratio: share of the images that RandomSubsetTrainingSampler shows.
        repeat_sqrt: whether repeat factors of classes are square roots.
        loss_records: OUTPUT_DIR of an earlier training on the same data with records, by whose
            losses LossTrainingSampler shows images.
        max_repeats: how often LossTrainingSampler shows an image at most, in an epoch; and
            LedgerTrainingSampler, in relation to one whose objects are all learnt.
    """

    random_subset_ratio: float = 1.0
    repeat_sqrt: bool = True
    loss_records: str = ""
    max_repeats: Annotated[float, Range(1)] = 4.0
