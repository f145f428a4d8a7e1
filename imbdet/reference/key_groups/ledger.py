"""Keys of the ledger of objects, and of its feedback to the training."""

from typing import Annotated

from imbdet.methods.options import NonNegative, Range


class Ledger:
    """What becomes of each object over the training.

    Attributes:
        enabled: whether to keep a ledger of all objects and images, in OUTPUT_DIR/ledger; see
            docs/ledger.md.
    """

    enabled: bool = False


class Feedback:
    """What the ledger says while training rules how often images come and what objects weigh.

    Attributes:
        period: iterations from one look into the ledger to the next; 0 is an epoch. Weights of
            objects change with it, and LedgerTrainingSampler's images one period later.
        object_weights: whether objects weigh less, in all losses, that are said to be of another
            class more than others of their class; see docs/ledger.md.
        warmup_iters: iterations in which all objects weigh 1, since a detector that has not learnt
            its classes says nothing of labels; 1000 is also detectron2's SOLVER.WARMUP_ITERS, which
            this key does not follow.
        min_weight: lowest weight of an object, above 0, as one of weight 0 is not judged any more.
    """

    period: NonNegative = 0
    object_weights: bool = False
    warmup_iters: NonNegative = 1000
    min_weight: Annotated[float, Range(0, 1, above=True)] = 0.1
