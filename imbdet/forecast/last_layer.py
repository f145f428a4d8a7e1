"""The gradient of a loss by the last layer of a frozen detector."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from torch import Tensor, nn

from imbdet.alignment.layer_gradient import by_class, layer_gradient
from imbdet.analysis.frozen_detector import FrozenDetector, Sight


@dataclass(frozen=True, eq=False)
class FrozenBatch:
    """The predictions of a detector on a batch, with the gradient up to its last layer.

    Attributes:
        sight: the predictions, whose logits have a gradient.
        layer: the last layer.
        inputs: inputs of the layer.
        leaves: outputs of the layer, of which the logits are made.
    """

    sight: Sight
    layer: nn.Conv2d | nn.Linear
    inputs: Sequence[Tensor]
    leaves: Sequence[Tensor]

    def gradient(self, loss: Tensor) -> Tensor:
        """(C, Q) gradient of a loss of the logits by the layer, for each column of logits."""
        given = torch.autograd.grad(loss, self.leaves, retain_graph=True, materialize_grads=True)
        gradient = layer_gradient(self.layer, self.inputs, given)
        columns = len(gradient) if isinstance(self.layer, nn.Linear) else _num_columns(self.sight)
        return by_class(gradient, columns)


def look(detector: FrozenDetector, batch: list[dict], *, append_gt: bool = True) -> FrozenBatch:
    """Forward a batch; see :meth:`FrozenDetector.look`."""
    layer = detector.cls_layer
    inputs: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0].float()))
    try:
        sight = detector.look(batch, append_gt=append_gt)
    finally:
        hook.remove()
    with torch.no_grad():
        leaves = [layer(x) for x in inputs]
    for leaf in leaves:
        leaf.requires_grad_()
    if isinstance(layer, nn.Linear):
        logits = detector.classifier.columns(leaves[0])
    else:
        columns = _num_columns(sight)
        by_level = [permute_to_N_HWA_K(leaf, columns) for leaf in leaves]
        logits = torch.cat(by_level, dim=1).flatten(0, 1)
    return FrozenBatch(
        replace(sight, outputs=replace(sight.outputs, logits=logits)), layer, inputs, leaves
    )


def _num_columns(sight: Sight) -> int:
    return sight.outputs.logits.shape[1]
