import pytest
import torch

from imbdet.engine.trainer import Trainer
from imbdet.errors import UserError
from imbdet.kernels.backend import choose_backend
from tests.modeling.conftest import make_batch, small_config, train_step


def build(kind, *opts):
    torch.manual_seed(0)
    return Trainer.build_model(small_config(kind, *opts)).train()


@pytest.mark.parametrize(
    ("key", "tolerance"), [("CHANNELS_LAST", 1e-4), ("BFLOAT16", 0.1)], ids=["last", "bfloat16"]
)
@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn", "cascade_rcnn"])
def test_same_losses_and_states(kind, key, tolerance):
    plain, fast = build(kind), build(kind, f"MODEL.SPEED.{key}", "True")
    assert plain.state_dict().keys() == fast.state_dict().keys()
    batch = make_batch([3, 2])
    (expected, grads, _), (losses, fast_grads, _) = (train_step(m, batch) for m in (plain, fast))
    if kind == "cascade_rcnn":
        tolerance *= 3  # each stage starts from the rounded boxes of the one before
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected[name], rtol=tolerance, atol=tolerance)
    name = next(n for n in grads if n.startswith("backbone") and n.endswith("conv1.weight"))
    assert torch.cosine_similarity(grads[name].flatten(), fast_grads[name].flatten(), 0) > 0.95


@pytest.mark.parametrize("kind", ["retinanet", "cascade_rcnn"])
def test_bfloat16_is_used(kind):
    model = build(kind, "MODEL.SPEED.BFLOAT16", "True")
    seen = []
    head = model.head if kind == "retinanet" else model.roi_heads.box_head[1]
    layer = next(m for m in head.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear))
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    train_step(model, make_batch([1]))
    assert set(seen) == {torch.bfloat16}


def test_a_pyramid_of_single_pixels_is_coarsened_in_full_precision():
    model = build("retinanet", "MODEL.SPEED.BFLOAT16", "True")
    seen = []
    model.backbone.top_block.p7.register_forward_hook(
        lambda module, inputs, output: seen.append((inputs[0].dtype, tuple(inputs[0].shape[2:])))
    )
    levels = model.backbone(torch.randn(1, 3, 64, 64))
    assert seen == [(torch.float32, (1, 1))]
    assert levels["p7"].dtype == torch.float32


def test_channels_last_is_used():
    model = build("retinanet", "MODEL.SPEED.CHANNELS_LAST", "True")
    seen = []
    conv = next(m for m in model.head.modules() if isinstance(m, torch.nn.Conv2d))
    conv.register_forward_hook(
        lambda module, inputs, output: seen.append(
            output.is_contiguous(memory_format=torch.channels_last)
        )
    )
    train_step(model, make_batch([1]))
    assert all(seen)


def test_compile_compiles_backbone_and_heads(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(type(self)))
    build("faster_rcnn", "MODEL.SPEED.COMPILE", "True")
    assert [kind.__name__ for kind in compiled] == ["FPN", "StandardRPNHead", "FastRCNNConvFCHead"]


def test_two_kinds_of_mixed_precision_are_refused():
    with pytest.raises(UserError, match=r"MODEL\.SPEED\.BFLOAT16 and SOLVER\.AMP\.ENABLED"):
        build("retinanet", "MODEL.SPEED.BFLOAT16", "True", "SOLVER.AMP.ENABLED", "True")


@pytest.fixture
def restored_backend():
    yield
    choose_backend("auto")


@pytest.mark.usefixtures("restored_backend")
def test_kernels_compute_the_same_losses():
    batch = make_batch([3, 2], size=(32, 32))
    results = [
        train_step(build("retinanet", "MODEL.SPEED.KERNELS", name), batch)[:2]
        for name in ("torch", "triton")
    ]
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("restored_backend")
def test_kernels_that_cannot_run_are_refused(monkeypatch):
    with pytest.raises(UserError, match=r"SPEED.KERNELS: 'cuda' is no backend: choose one of"):
        build("retinanet", "MODEL.SPEED.KERNELS", "cuda")
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(UserError, match=r"needs a GPU, but MODEL.DEVICE is 'cpu'"):
        build("retinanet", "MODEL.SPEED.KERNELS", "triton")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="but the package triton is not there"):
        build("retinanet", "MODEL.SPEED.KERNELS", "triton")
