"""Keys of the averaged weights."""

from typing import Annotated

from imbdet.methods.options import Momentum, Range


class ModelEMA:
    """The exponential moving average of the weights (EMA), by d2go's names of keys.

    Attributes:
        enabled: whether to average the weights over the iterations, to evaluate the averages beside
            the weights, and to keep them as OUTPUT_DIR/model_final_ema.pth.
        decay: weight of the past in each iteration.
        decay_warm_up_factor: F. In the n-th iteration the decay is at most (1 + n) / (F + n), so
            that the first weights are soon forgotten; 1 is no warm-up.
    """

    enabled: bool = False
    decay: Momentum = 0.999
    decay_warm_up_factor: Annotated[float, Range(1)] = 10.0
