"""Keys of the optimizer, its checkpoints and the iterations that it skips."""

from imbdet.methods.options import NonNegative


class Solver:
    """Checkpoints, the optimizer, and what is not finite.

    Attributes:
        checkpoint_keep: how many of the newest checkpoints stay in OUTPUT_DIR, the final one aside;
            0 is all.
        max_skipped: how many iterations with a loss or gradient that is not finite are skipped, in
            all, before the training stops. Each is saved with its weights in OUTPUT_DIR/watch. 0 is
            to stop at the first.
        optimizer: "SGD" or "AdamW"; MOMENTUM and NESTEROV rule SGD only.
    """

    checkpoint_keep: NonNegative = 0
    max_skipped: NonNegative = 0
    optimizer: str = "SGD"
