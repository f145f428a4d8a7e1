"""Results on a GPU are those on a CPU: `make test ARGS="--gpu tests/test_gpu.py"`."""

import copy
import json
from dataclasses import replace

import pytest
import torch

import train_net
from imbdet import losses
from imbdet.assigners import Outputs, Priors
from imbdet.kernels.backend import choose_backend, is_fused
from imbdet.modeling import build_model
from tests.assigners.scenes import pyramid, random_outputs, random_targets
from tests.assigners.test_definitions import ASSIGNERS, double
from tests.kernels.test_fused_entries import LOSSES as FUSED_LOSSES
from tests.kernels.test_fused_entries import TOLERANCES, assert_alike
from tests.kernels.test_fused_entries import problem as fused_problem
from tests.kernels.test_fused_negative_softmax import assert_as_in_float64
from tests.kernels.test_fused_step_sums import LOSSES as FUSED_RANKINGS
from tests.kernels.test_fused_step_sums import assert_alike as rankings_are_alike
from tests.kernels.test_fused_step_sums import problem as ranking_problem
from tests.losses.classification import CLS_LOSSES
from tests.losses.ranking_problems import KINDS, random_problem
from tests.losses.test_box_losses import random_boxes
from tests.modeling.conftest import make_batch, train_step
from tests.modeling.test_combinations import COMBINATIONS, config_of, label
from tests.test_train_net import arguments, read_metrics

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="without --gpu, or without a GPU"),
    pytest.mark.usefixtures("restored_loggers"),
]

BOX_LOSSES = {
    "giou": losses.giou_loss,
    "diou": losses.diou_loss,
    "ciou": losses.ciou_loss,
    "smooth_l1": lambda a, b: losses.smooth_l1_loss(a, b, beta=0.5),
    "balanced_l1": losses.balanced_l1_loss,
    "asl1": losses.asl1_loss,
    "ghm_r": lambda a, b: losses.GHMRLoss().to(a.device)(a, b),
}


def on(device, *tensors):
    return [t.detach().to(device).requires_grad_(t.is_floating_point()) for t in tensors]


def value_and_grad(loss, first, *others):
    values = loss(first, *others)
    total = sum(v.sum() for v in values) if isinstance(values, tuple) else values.sum()
    (grad,) = torch.autograd.grad(total, first)
    assert grad.device == first.device
    return total.detach().cpu(), grad.cpu()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_rows", [0, 1, 30, 20_000])
@pytest.mark.parametrize("loss", CLS_LOSSES.values(), ids=CLS_LOSSES.keys())
def test_classification_losses(loss, num_rows, kind):
    problem = random_problem(num_rows, 4, 0, kind)
    expected, found = (value_and_grad(loss, *on(device, *problem)) for device in ("cpu", "cuda"))
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("num_columns", [1, 20, 80, 1203])
@pytest.mark.parametrize("loss", FUSED_LOSSES.values(), ids=FUSED_LOSSES)
def test_fused_losses(loss, num_columns, dtype):
    found = [x.to("cuda") for x in fused_problem(5000, num_columns, 0, dtype=dtype)]
    assert_alike(loss, found, dtype)
    choose_backend("auto")
    assert is_fused(found[0])


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("by_image", [False, True], ids=["batch", "image"])
@pytest.mark.parametrize("scale", [0.0, 0.01, 3.0])
@pytest.mark.parametrize("loss", FUSED_RANKINGS.values(), ids=FUSED_RANKINGS)
def test_fused_rankings(loss, scale, by_image, weighted):
    some = ranking_problem(3000, 80, 0, scale=scale, by_image=by_image, weighted=weighted)
    *tensors, options = some
    options = {name: value.to("cuda") for name, value in options.items()}
    rankings_are_alike(loss, (*(x.to("cuda") for x in tensors), options))


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("by_image", [False, True], ids=["batch", "image"])
def test_fused_dr_loss(by_image, weighted, dtype):
    some = ranking_problem(3000, 80, 0, dtype=dtype, by_image=by_image, weighted=weighted)
    logits, labels, _, options = some
    options = {name: value.to("cuda") for name, value in options.items()}
    assert_as_in_float64(logits.to("cuda"), labels.to("cuda"), **options)


@pytest.mark.parametrize("name", ASSIGNERS)
def test_assigners(name):
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(256, 320)
    targets = random_targets(generator, [20, 0, 7], 256, 320)
    priors, targets, outputs = double(priors, targets, random_outputs(generator, priors, targets))
    expected = ASSIGNERS[name](priors, targets, outputs)
    found = ASSIGNERS[name](
        Priors(priors.boxes.cuda(), strides=priors.strides.cuda(), level_sizes=priors.level_sizes),
        replace(targets, boxes=targets.boxes.cuda(), classes=targets.classes.cuda()),
        Outputs(outputs.logits.cuda(), outputs.boxes.cuda()),
    )
    assert found.gt_idxs.tolist() == expected.gt_idxs.tolist()
    torch.testing.assert_close(found.ious.cpu(), expected.ious)


@pytest.mark.parametrize("num_boxes", [0, 1, 1000])
@pytest.mark.parametrize("loss", BOX_LOSSES.values(), ids=BOX_LOSSES.keys())
def test_box_losses(loss, num_boxes):
    boxes = random_boxes(num_boxes, 0, torch.float64), random_boxes(num_boxes, 1, torch.float64)
    expected, found = (value_and_grad(loss, *on(device, *boxes)) for device in ("cpu", "cuda"))
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-10)


@pytest.fixture
def _same_random_numbers(monkeypatch):
    """Draw on the CPU whatever the device: all that samplers draw are permutations."""
    randperm = torch.randperm

    def randperm_of_cpu(*args, device=None, **kwargs):
        return randperm(*args, **kwargs).to(device or "cpu")

    monkeypatch.setattr(torch, "randperm", randperm_of_cpu)


@pytest.fixture
def _full_precision(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.usefixtures("_same_random_numbers", "_full_precision")
@pytest.mark.parametrize("combination", COMBINATIONS, ids=label)
def test_detectors_with_all_methods(combination):
    torch.manual_seed(0)
    on_cpu = build_model(config_of(combination))
    on_gpu = copy.deepcopy(on_cpu).cuda()
    for seed, num_boxes in enumerate([[3, 4], [0, 0], [1, 2]]):
        batch = make_batch(num_boxes, seed=seed)
        (expected, expected_grads, _), (found, found_grads, _) = (
            train_step(model, batch, seed) for model in (on_cpu, on_gpu)
        )
        for name, value in expected.items():
            torch.testing.assert_close(found[name].cpu(), value, rtol=1e-3, atol=1e-5, msg=name)
        for name, grad in expected_grads.items():
            error = (found_grads[name].cpu() - grad).norm()
            assert error <= 1e-2 * grad.norm() + 1e-5, name


@pytest.mark.parametrize("precision", ["SOLVER.AMP.ENABLED", "MODEL.SPEED.BFLOAT16", None])
@pytest.mark.parametrize("name", ["retinanet", "faster_rcnn"])
def test_trains_resumes_and_evaluates(name, precision, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    overrides = {"MODEL.DEVICE": "cuda", "RECORD.PERIOD": 2}
    overrides |= {precision: True} if precision else {}
    folder = tmp_path / "run"
    assert train_net.main(arguments(name, folder, **overrides)) == 0
    longer = arguments(name, folder, "--resume", **overrides, **{"SOLVER.MAX_ITER": 6})
    assert train_net.main(longer) == 0
    lines = map(json.loads, (folder / "metrics.json").read_text().splitlines())
    assert max(line["iteration"] for line in lines if "total_loss" in line) == 5
    assert read_metrics(folder)["metrics"]["bbox"]["overall"]["AP"] is not None
    assert list(folder.rglob("*.parquet"))
