"""torchvision's detectors with assigners and losses of imbdet, without detectron2."""

import subprocess
import sys
import textwrap

import pytest

from tests.examples.page import ROOT

CHECK = """
    import sys

    import torch

    from {module} import build_model

    torch.manual_seed(0)
    model = build_model(num_classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images = [torch.rand(3, 96, 128), torch.rand(3, 96, 128)]
    targets = [
        {{"boxes": torch.tensor([[10.0, 10, 50, 60]]), "labels": torch.tensor([1])}},
        {{"boxes": torch.empty(0, 4), "labels": torch.empty(0, dtype=torch.int64)}},
    ]
    for chosen in (slice(0, 2), slice(1, 2)):  # the second time there is no object at all
        losses = model(images[chosen], targets[chosen])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        assert all(loss.isfinite() for loss in losses.values())
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        if chosen.start == 0:
            assert 0 < losses["classification"] < 10
            assert model.head.classification_head.cls_logits.weight.grad.any()
            assert model.head.regression_head.bbox_reg.weight.grad.any()
    assert "detectron2" not in sys.modules
"""


@pytest.mark.parametrize("module", ["torchvision_retinanet", "torchvision_fcos"])
def test_it_trains_without_detectron2(module):
    check = textwrap.dedent(CHECK.format(module=module))
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT / "examples")
