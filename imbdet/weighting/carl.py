"""Classification-aware regression loss (CARL): scores learn where the boxes are good.

Cao et al., "Prime Sample Attention in Object Detection", CVPR 2020,
https://arxiv.org/abs/1904.04821
"""

from torch import Tensor

from imbdet.methods.options import NonNegative, Share, checked
from imbdet.ops.precision import at_least_float32
from imbdet.structures import Samples

# Values below count as this one: the gradient of their logarithm would overflow in float32.
LOWEST = 1e-30


@checked
def carl_weights(scores: Tensor, *, k: NonNegative = 1.0, bias: Share = 0.2) -> Tensor:
    """c_i = v_i / mean(v) with v_i = ((1 - bias) p_i + bias)^k; the mean has a gradient, too.

    The loss is sum_i c_i L_i of the box losses L_i, (P,), with gradient: it lowers the scores of
    badly regressed positives in favour of the good ones. It is added to the ordinary box loss and
    divided by that loss's normalizer.

    Args:
        scores: (P,) scores p of the ground-truth classes in [0, 1], with gradient.
        k: exponent; the larger, the more the confident samples weigh.
        bias: v of a score of 0, before the power.

    Returns:
        (P,) weights with mean 1.
    """
    scores = at_least_float32(scores)
    base = (1 - bias) * scores + bias
    # v / sum(v) as the softmax of log v: powers of small scores vanish in float32, logarithms not.
    log_values = k * base.clamp(min=LOWEST).log()
    return len(scores) * log_values.softmax(dim=0)


def gt_class_scores(samples: Samples) -> Tensor:
    """(P,) scores of the positives' ground-truth classes, in [0, 1], float32 at least.

    They have a gradient.
    """
    rows = samples.pos_idxs
    return samples.outputs.classifier.scores_of(samples.gt_labels[rows], samples.pred_logits[rows])
