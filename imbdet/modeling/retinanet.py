"""RetinaNet with an assigner, a sampler and a criterion."""

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import META_ARCH_REGISTRY

from imbdet.modeling import site_keys
from imbdet.modeling.dense_detector import ImbDense


@META_ARCH_REGISTRY.register()
class ImbRetinaNet(ImbDense):
    """The case of :class:`ImbDense` that is detectron2's RetinaNet: it does not read MODEL.DENSE.

    With default keys its losses, gradients and detections are RetinaNet's.
    """

    site = site_keys.RETINANET

    @classmethod
    def choose_parts(cls, cfg: CfgNode, shapes: list[ShapeSpec]) -> dict:
        """No parts: those of RetinaNet stay."""
        return {}
