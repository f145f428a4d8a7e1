"""A DETR of transformers with assigners and losses of imbdet."""

import sys

import pytest
import torch
from transformers import DetrConfig, ResNetConfig

from tests.examples.page import ROOT, example


@pytest.fixture
def detr(monkeypatch):
    """A DETR with two decoder layers and four classes."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    names = {"__name__": "example"}
    exec(example("transformers_detr.py"), names)
    torch.manual_seed(0)
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], out_features=["stage2"]
    )
    sizes = {"d_model": 32, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_queries": 9}
    layers = {"encoder_layers": 1, "decoder_layers": 2, "auxiliary_loss": True}
    yield names["RankingDetr"](
        DetrConfig(backbone_config=backbone, **sizes, **layers, num_labels=4)
    )
    sys.modules.pop("common")


def image(*boxes):
    boxes = torch.tensor(boxes).view(-1, 4)
    return {"boxes": boxes, "labels": torch.arange(len(boxes))}


def test_layers_match_four_queries_and_one(detr, monkeypatch):
    calls = []
    names = type(detr).forward.__globals__

    def focal_loss(logits, labels, **options):
        calls.append(labels)
        return focal(logits, labels, **options)

    focal = names["focal_loss"]
    monkeypatch.setitem(names, "focal_loss", focal_loss)
    targets = [image([4.0, 8, 30, 40], [20.0, 10, 60, 50]), image([1.0, 1, 9, 9])]
    losses = detr([torch.rand(3, 64, 64)] * 2, targets)
    (labels,) = calls
    positives = [
        torch.bincount(own[own < 4], minlength=3)[:3].tolist() for own in labels.view(4, 9)
    ]
    # Positives layer by layer, image by image; objects of the first image have classes 0 and 1.
    assert positives == [[4, 4, 0], [4, 0, 0], [1, 1, 0], [1, 0, 0]]
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert detr.class_labels_classifier.weight.grad[:4].any()
    assert not detr.class_labels_classifier.weight.grad[4:].any()  # its column of no object


def test_images_without_objects(detr):
    losses = detr([torch.rand(3, 64, 64)] * 2, [image(), image()])
    sum(losses.values()).backward()
    assert losses["focal"] > 0
    assert losses["ranking"] == losses["sorting"] == losses["box"] == 0
    grads = [p.grad for p in detr.parameters() if p.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)
