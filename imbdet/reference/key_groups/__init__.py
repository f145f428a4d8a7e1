"""The keys of each group: their defaults, meanings, units and ranges.

A group of keys is a class whose attributes are declared as options are
(:mod:`imbdet.methods.options`): ``period`` of the group "RECORD" is the key ``RECORD.PERIOD``.
"""

from imbdet.reference.key_groups.augmentation import SSD, Input
from imbdet.reference.key_groups.backbones import BalancedPyramid, Timm
from imbdet.reference.key_groups.best_evaluation import Best
from imbdet.reference.key_groups.carl import Carl
from imbdet.reference.key_groups.cascade import Cascade
from imbdet.reference.key_groups.class_weights import ClassWeights
from imbdet.reference.key_groups.classification_losses import ClsLoss
from imbdet.reference.key_groups.datasets import Datasets
from imbdet.reference.key_groups.dense_detectors import Dense, RetinaNet
from imbdet.reference.key_groups.evaluation import Test
from imbdet.reference.key_groups.ignored_regions import Ignored
from imbdet.reference.key_groups.image_samplers import Dataloader
from imbdet.reference.key_groups.ledger import Feedback, Ledger
from imbdet.reference.key_groups.loggers import Loggers
from imbdet.reference.key_groups.records import Record
from imbdet.reference.key_groups.samplers import Sampler
from imbdet.reference.key_groups.shapes import Shapes
from imbdet.reference.key_groups.solver import Solver
from imbdet.reference.key_groups.speed import Speed
from imbdet.reference.key_groups.two_stage_detectors import BoxHead, Classifier
from imbdet.reference.key_groups.weight_average import ModelEMA

# Groups of keys by name; first those that ``imbdet.modeling`` reads.
MODELING_GROUPS = {
    "MODEL.SAMPLER": Sampler,
    "MODEL.RPN_SAMPLER": Sampler,
    "MODEL.CLS_LOSS": ClsLoss,
    "MODEL.RPN_LOSS.CLS": ClsLoss,
    "MODEL.CARL": Carl,
    "MODEL.BFP": BalancedPyramid,
    "MODEL.TIMM": Timm,
    "MODEL.RETINANET": RetinaNet,
    "MODEL.DENSE": Dense,
    "MODEL.ROI_BOX_HEAD": BoxHead,
    "MODEL.ROI_BOX_CASCADE_HEAD": Cascade,
    "MODEL.RPN": Classifier,
}
OTHER_GROUPS = {
    "MODEL": ClassWeights,
    "MODEL.SPEED": Speed,
    "MODEL_EMA": ModelEMA,
    "DATASETS": Datasets,
    "DATASETS.IGNORED": Ignored,
    "DATASETS.SHAPES": Shapes,
    "INPUT": Input,
    "INPUT.SSD": SSD,
    "DATALOADER": Dataloader,
    "RECORD": Record,
    "LEDGER": Ledger,
    "LEDGER.FEEDBACK": Feedback,
    "LOGGERS": Loggers,
    "SOLVER": Solver,
    "TEST": Test,
    "TEST.BEST": Best,
}
