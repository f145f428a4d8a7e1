"""All classification losses."""

from imbdet import losses
from tests.losses.ranking_problems import LOSSES as RANKING_LOSSES

# Each classification loss as a function of logits, labels and the positives' quality.
CLS_LOSSES = {
    **RANKING_LOSSES,
    "dr": lambda x, y, q: (losses.dr_loss(x, y),),
    "cross_entropy": lambda x, y, q: (losses.sigmoid_cross_entropy_loss(x, y),),
    # The last column is the background's.
    "softmax": lambda x, y, q: (losses.softmax_cross_entropy_loss(x, y.clamp(max=x.shape[1] - 1)),),
    "focal": lambda x, y, q: (losses.focal_loss(x, y),),
    "quality_focal": lambda x, y, q: (losses.quality_focal_loss(x, y, q),),
    "varifocal": lambda x, y, q: (losses.varifocal_loss(x, y, q),),
    "ghm_c": lambda x, y, q: (losses.GHMCLoss().to(x.device)(x, y),),
}
