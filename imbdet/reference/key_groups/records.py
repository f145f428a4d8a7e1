"""Keys of the records of samples."""

from imbdet.methods.options import Count, NonNegative


class Record:
    """What becomes of the samples.

    Attributes:
        period: how many iterations from one record of the samples to the next, in
            OUTPUT_DIR/records; see docs/records.md. 0 is off; 20 costs little.
        num_hard_negatives: number of negatives with the highest losses that become rows, of each
            image and for RetinaNet, RPN or RoI heads.
        num_random_negatives: number of random ones of the other negatives that become rows, too.
        max_mb: room for all files, in MB (10^6 bytes). The period doubles each time half of what
            was left is used.
    """

    period: NonNegative = 0
    num_hard_negatives: NonNegative = 32
    num_random_negatives: Count = 32
    max_mb: Count = 1000
