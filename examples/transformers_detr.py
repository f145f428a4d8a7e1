"""A DETR of `transformers` whose queries imbdet matches, and whose losses it computes."""

import torch
from common import objects_of, train
from torchvision.ops import box_convert
from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

from imbdet.assigners import Outputs, Priors, hungarian, topk_hungarian
from imbdet.losses import focal_loss, giou_loss, l1_loss, rank_sort_loss


class RankingDetr(DetrForObjectDetection):
    """The last decoder layer has one query for an object, those before it have four."""

    def forward(self, images, targets):
        """Losses of all L layers, each of which ranks the queries of the batch by itself."""
        images = torch.stack(images)
        height, width = images.shape[2:]
        scale = images.new_tensor([width, height, width, height])
        states = self.model(images).intermediate_hidden_states  # (L, B, Q, D)
        logits = self.class_labels_classifier(states)[..., : self.config.num_labels].flatten(1, 2)
        boxes = box_convert(self.bbox_predictor(states).sigmoid(), "cxcywh", "xyxy") * scale
        boxes = boxes.flatten(1, 2)

        objects = objects_of(targets, image_sizes=[(height, width)] * len(images))
        queries = Priors(boxes.new_zeros(self.config.num_queries, 4))
        matchers = [topk_hungarian] * (len(states) - 1) + [hungarian]
        seen_by_layer = zip(matchers, logits.detach(), boxes.detach(), strict=True)
        matches = [match(queries, objects, Outputs(*seen)) for match, *seen in seen_by_layer]

        gt_idxs, ious = (torch.cat([getattr(m, k) for m in matches]) for k in ("gt_idxs", "ious"))
        rows = (gt_idxs >= 0).nonzero().squeeze(1)
        labels = torch.cat([m.labels(objects.classes, self.config.num_labels) for m in matches])
        layers = torch.arange(len(states)).repeat_interleave(logits.shape[1])
        logits, boxes = logits.flatten(0, 1), boxes.flatten(0, 1)[rows]
        gt_boxes = objects.boxes[gt_idxs[rows]]
        ranking, sorting = rank_sort_loss(logits, labels, ious[rows], image_idxs=layers)
        focal = focal_loss(logits, labels, reduction="sum") / max(len(rows), 1)
        box = 5 * l1_loss(boxes / scale, gt_boxes / scale) + 2 * giou_loss(boxes, gt_boxes)
        box = box.sum() / max(len(rows), 1)
        return {"ranking": ranking, "sorting": sorting, "focal": focal, "box": box}


def main(num_iterations=40):
    """Train a small model for some steps, and print the losses."""
    torch.manual_seed(0)
    backbone = {"embedding_size": 16, "hidden_sizes": [16, 32, 64], "depths": [1, 1, 1]}
    backbone = ResNetConfig(**backbone, layer_type="basic", out_features=["stage3"])
    sizes = {"d_model": 64, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "num_queries": 20}
    layers = {"encoder_layers": 1, "decoder_layers": 3, "auxiliary_loss": True}
    config = DetrConfig(backbone_config=backbone, **sizes, **layers, num_labels=1)
    train(RankingDetr(config).train(), num_iterations, learning_rate=1e-3)


if __name__ == "__main__":
    main()
