"""torchvision's detector with a loss of imbdet, without detectron2."""

import re
import subprocess
import sys
import textwrap

import pytest
import torch

from imbdet.losses import ap_loss
from tests.examples.page import PAGE, ROOT, example


def test_it_trains_with_ap_loss_and_without_detectron2():
    check = """
        import sys

        import torch

        from examples.torchvision_retinanet import build_model

        torch.manual_seed(0)
        model = build_model(num_classes=2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        images = [torch.rand(3, 96, 128), torch.rand(3, 96, 128)]
        targets = [
            {"boxes": torch.tensor([[10.0, 10, 50, 60]]), "labels": torch.tensor([1])},
            {"boxes": torch.empty(0, 4), "labels": torch.empty(0, dtype=torch.int64)},
        ]
        for _ in range(2):
            losses = model(images, targets)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
        assert all(loss.isfinite() for loss in losses.values())
        assert 0 < losses["classification"] <= 1  # as 1 - AP is
        assert model.head.classification_head.cls_logits.weight.grad.any()
        assert "detectron2" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(check)], check=True, cwd=ROOT)


@pytest.fixture
def head():
    names = {"__name__": "example"}
    exec(example("torchvision_retinanet.py"), names)
    return names["APHead"](in_channels=4, num_anchors=1, num_classes=3)


def test_anchors_are_labelled_as_torchvision_matches_them(head):
    matched_idxs = [torch.tensor([-1, 1, 0, head.BETWEEN_THRESHOLDS]), torch.full((4,), -1)]
    targets = [{"labels": torch.tensor([2, 0])}, {"labels": torch.empty(0, dtype=torch.int64)}]
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    loss = head.compute_loss(targets, {"cls_logits": logits}, matched_idxs)
    labels = torch.tensor([3, 0, 2, -1, 3, 3, 3, 3])
    torch.testing.assert_close(loss, ap_loss(logits.view(8, 3), labels))
    assert 0 < loss < 1


def test_the_page_shows_the_example():
    section = PAGE.read_text().split("`examples/torchvision_retinanet.py`")[1]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 2
    assert [block for block in blocks if block not in example("torchvision_retinanet.py")] == []
