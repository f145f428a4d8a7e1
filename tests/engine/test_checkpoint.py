import copy
import errno
import logging
import os
import pickle
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from imbdet.engine.array_pickle import load_arrays
from imbdet.engine.checkpoint import SafeCheckpointer
from tests.messages import assert_says, error_of


class Detector(nn.Module):
    """Named like a detector of detectron2."""

    def __init__(self, num_classes=3, width=4):
        super().__init__()
        self.backbone = nn.ModuleDict({"stem": nn.ModuleDict({"conv1": nn.Conv2d(3, width, 3)})})
        self.box_predictor = nn.ModuleDict({"cls_score": nn.Linear(width, num_classes + 1)})
        self.register_buffer("pixel_mean", torch.zeros(3, 1, 1))


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def assert_same_state(model, other):
    torch.testing.assert_close(dict(model.state_dict()), dict(other.state_dict()))


def arrays_of(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def train_a_step(model, optimizer):
    optimizer.zero_grad()
    sum(parameter.square().sum() for parameter in model.parameters()).backward()
    optimizer.step()


@pytest.fixture
def saved(tmp_path):
    """A folder with one checkpoint of a `Detector`."""
    SafeCheckpointer(Detector(), str(tmp_path)).save("model_0000001")
    return tmp_path


# Reading


def test_round_trip_with_the_optimizer(tmp_path):
    model = Detector()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train_a_step(model, optimizer)
    SafeCheckpointer(model, str(tmp_path), optimizer=optimizer).save("model_0000007", iteration=7)

    other = Detector()
    other_optimizer = torch.optim.SGD(other.parameters(), lr=0.5, momentum=0.9)
    checkpointer = SafeCheckpointer(other, str(tmp_path), optimizer=other_optimizer)
    assert checkpointer.resume_or_load("", resume=True) == {"iteration": 7}
    assert_same_state(model, other)
    assert other_optimizer.param_groups[0]["lr"] == 0.1
    train_a_step(model, optimizer)
    train_a_step(other, other_optimizer)
    assert_same_state(model, other)
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_0000007.pth"]


def test_distributed_model(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        wrapped = nn.parallel.DistributedDataParallel(Detector())
        SafeCheckpointer(wrapped, str(tmp_path)).save("model")
        alone = Detector()
        SafeCheckpointer(alone, strict=True).load(str(tmp_path / "model.pth"))
        assert_same_state(alone, wrapped.module)
        torch.save({"model": wrapped.state_dict()}, tmp_path / "prefixed.pth")
        SafeCheckpointer(wrapped, strict=True).load(str(tmp_path / "prefixed.pth"))
    finally:
        torch.distributed.destroy_process_group()


def test_no_weights_leave_the_model_as_it_is(tmp_path):
    model = Detector()
    before = copy.deepcopy(model)
    assert SafeCheckpointer(model, str(tmp_path)).resume_or_load("", resume=True) == {}
    assert_same_state(model, before)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("author", ["Detectron2 Model Zoo", None])
def test_model_zoo_pickle(tmp_path, protocol, author):
    model, other = Detector(), Detector()
    data = {"model": arrays_of(model)} | ({"__author__": author} if author else {})
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(data, protocol))
    SafeCheckpointer(other, strict=True).load(str(tmp_path / "a.pkl"))
    assert_same_state(model, other)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">f8").reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float16).reshape(2, 3)),
        np.array(3),
        np.empty((0, 2), np.float32),
        np.array([True, False]),
        np.float32(0.5),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_every_array_is_read_as_written(tmp_path, array, protocol):
    content = pickle.dumps([array], protocol)
    for core in (b"numpy.core.", b"numpy._core."):  # numpy 1 and 2; both only by text opcodes
        if protocol <= 2:
            content = re.sub(rb"numpy\._?core\.", core, content)
        (tmp_path / "a.pkl").write_bytes(content)
        (loaded,) = load_arrays(str(tmp_path / "a.pkl"))
        assert loaded.dtype == array.dtype.newbyteorder("=")  # torch knows no other
        np.testing.assert_array_equal(loaded, array)


def test_caffe2_and_detectron_pickles_are_matched_by_name(tmp_path):
    model = Detector()
    blobs = {
        "conv1_w": np.full((4, 3, 3, 3), 2, np.float32),
        "conv1_w_momentum": np.zeros(1, np.float32),
        # Class 0 is the background, which detectron2 puts last.
        "cls_score_b": np.arange(4, dtype=np.float32),
    }
    for name, data in (("imagenet.pkl", blobs), ("detector.pkl", {"cfg": "", "blobs": blobs})):
        (tmp_path / name).write_bytes(pickle.dumps(data, 2))
        SafeCheckpointer(model).load(str(tmp_path / name))
        assert (model.backbone.stem.conv1.weight == 2).all()
        assert model.box_predictor.cls_score.bias.tolist() == [1, 2, 3, 0]


def test_pycls_and_plain_state_dicts(tmp_path):
    model, other = Detector(), Detector()
    torch.save(model.state_dict(), tmp_path / "plain.pth")
    torch.save({"model_state": model.backbone.state_dict()}, tmp_path / "pycls.pyth")
    SafeCheckpointer(other).load(str(tmp_path / "pycls.pyth"))
    assert_same_state(other.backbone, model.backbone)
    SafeCheckpointer(other, strict=True).load(str(tmp_path / "plain.pth"))
    assert_same_state(other, model)


@pytest.mark.parametrize("name", ["evil.pkl", "evil.pth", "evil.pyth", "bare.pth"])
def test_code_in_a_file_is_refused_and_does_not_run(tmp_path, name):
    data = {"model": arrays_of(Detector()), "payload": RunsCode(tmp_path / "ran")}
    if name in ("evil.pkl", "bare.pth"):
        (tmp_path / name).write_bytes(pickle.dumps(data, 2))
    else:
        torch.save(data["payload"], tmp_path / name)
    message = error_of(SafeCheckpointer(Detector()).load, str(tmp_path / name))
    if name != "bare.pth":  # there torch stumbles over the arrays first
        assert_says(message, f"'{os.mkdir.__module__}.mkdir'")
    assert_says(message, f"'{tmp_path / name}'", "refused", "nothing was run")
    assert not (tmp_path / "ran").exists()


class Forged:
    """Pickles a call of what numpy's own pickles name, with arguments they never have."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "forged",
    [
        # numpy would take these eight bytes for the address of an object.
        Forged(np.ndarray, (1,), "O", b"\1" * 8),
        Forged(np.dtype, "O"),
        Forged(np.float32(0).__reduce__()[0], np.dtype("V8"), b"\1" * 8),
    ],
    ids=["ndarray", "dtype", "scalar"],
)
def test_forged_arrays_are_refused(tmp_path, forged):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": {"x": forged}}))
    message = error_of(SafeCheckpointer(Detector()).load, str(tmp_path / "a.pkl"))
    assert_says(message, "a.pkl", "not a checkpoint")


# Files that are no checkpoints


@pytest.mark.parametrize("name", ["a.pth", "a.pkl", "a.pyth"])
@pytest.mark.parametrize("content", ["empty", "text", "half"])
def test_damaged_file(tmp_path, name, content):
    path = tmp_path / name
    if name == "a.pkl":
        path.write_bytes(pickle.dumps({"model": arrays_of(Detector())}))
    else:
        torch.save(Detector().state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"hello", "half": whole[: len(whole) // 2]}[content])
    message = error_of(SafeCheckpointer(Detector()).load, str(path))
    assert_says(message, f"'{path}'", "truncated or not a checkpoint")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.pth", [1], ["it is of type list"]),
        ("a.pth", {"epoch": 3}, ["its entry 'epoch' is of type int"]),
        ("a.pth", {"model": torch.zeros(1)}, ["its model is of type Tensor"]),
        ("a.pyth", {"epoch": 3}, ["its model is of type NoneType"]),
        ("a.pkl", [1], ["it is of type list"]),
        ("a.pkl", {"weights": {}}, ["its entry 'weights' is of type dict"]),
    ],
)
def test_other_contents(tmp_path, name, data, words):
    path = tmp_path / name
    if name == "a.pkl":
        path.write_bytes(pickle.dumps(data))
    else:
        torch.save(data, path)
    message = error_of(SafeCheckpointer(Detector()).load, str(path))
    assert_says(message, f"'{path}'", "Save the state dict alone", *words)


def test_missing_file(saved):
    load = SafeCheckpointer(Detector()).load
    message = error_of(load, str(saved / "model_000001.pth"))
    assert_says(message, "model_000001.pth'", "does not exist", "Did you mean 'model_0000001.pth'?")
    assert_says(error_of(load, str(saved / "no" / "a.pth")), "There is no folder", "no'")
    assert_says(error_of(load, str(saved)), f"'{saved}'", "is a folder")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/R-50.pkl", "catalog://ImageNetPretrained/R-5"])
def test_weights_that_cannot_be_fetched(tmp_path, monkeypatch, url):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    message = error_of(SafeCheckpointer(Detector()).load, url)
    assert_says(message, f"'{url}'", "cannot be fetched", "by hand", 'or to "" to start')


# Weights that do not fit


def test_predictors_for_other_classes_are_left_out_with_one_warning(saved, caplog):
    model = Detector(num_classes=5)
    with caplog.at_level(logging.WARNING):
        SafeCheckpointer(model).load(str(saved / "model_0000001.pth"))
    (warning,) = caplog.records
    assert_says(
        warning.getMessage(),
        "number of classes",
        "'box_predictor.cls_score.weight' (4, 4) for (6, 4)",
        "'box_predictor.cls_score.bias' (4,) for (6,)",
    )
    other = Detector()
    SafeCheckpointer(other).load(str(saved / "model_0000001.pth"))
    assert_same_state(model.backbone, other.backbone)


@pytest.mark.parametrize("strict", [False, True])
def test_another_architecture_is_refused(saved, strict):
    checkpointer = SafeCheckpointer(Detector(width=8), strict=strict)
    message = error_of(checkpointer.load, str(saved / "model_0000001.pth"))
    conv = "'backbone.stem.conv1.weight' has shape (4, 3, 3, 3) in the file, (8, 3, 3, 3) in the"
    assert_says(message, "model_0000001.pth': it does not fit", conv)
    assert ("cls_score" in message) == strict


def test_a_long_list_is_cut(tmp_path):
    torch.save({f"{i}.weight": torch.zeros(i + 1) for i in range(9)}, tmp_path / "a.pth")
    model = nn.Sequential(*(nn.BatchNorm1d(20) for _ in range(9)))
    message = error_of(SafeCheckpointer(model).load, str(tmp_path / "a.pth"))
    assert message.count("has shape") == 5
    assert_says(message, "and 4 more")


def test_shapes_are_compared_also_where_names_are_guessed(tmp_path, caplog):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"conv1_w": np.zeros((8, 3, 3, 3), np.float32)}))
    message = error_of(SafeCheckpointer(Detector()).load, str(path))
    assert_says(message, "'backbone.stem.conv1.weight' has shape (8, 3, 3, 3) in the file, (4, 3")
    blobs = {"conv1_w": np.zeros((4, 3, 3, 3)), "cls_score_b": np.zeros(81)}
    path.write_bytes(pickle.dumps(blobs))
    SafeCheckpointer(Detector()).load(str(path))
    assert "'box_predictor.cls_score.bias' (81,) for (4,)" in caplog.text


def test_a_file_without_any_fitting_tensor_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"encoder.weight": torch.zeros(1), "pixel_mean": torch.zeros(3, 1, 1)}, path)
    message = error_of(SafeCheckpointer(Detector()).load, str(path))
    assert_says(message, f"'{path}'", "none of its tensors ('encoder.weight', 'pixel_mean')")


def test_a_missing_tensor_is_refused_only_when_strict(tmp_path):
    state = Detector().state_dict()
    del state["backbone.stem.conv1.bias"], state["pixel_mean"]
    state["proposal_generator.anchor_generator.cell_anchors.0"] = torch.zeros(3, 4)
    path = tmp_path / "a.pth"
    torch.save(state, path)
    SafeCheckpointer(Detector()).load(str(path))
    message = error_of(SafeCheckpointer(Detector(), strict=True).load, str(path))
    assert_says(message, "'backbone.stem.conv1.bias' is missing")
    assert "pixel_mean" not in message
    assert "cell_anchors" not in message


# Resuming


def test_resuming_is_strict_and_needs_a_checkpoint(saved, tmp_path_factory):
    path = str(saved / "model_0000001.pth")
    empty = str(tmp_path_factory.mktemp("empty"))
    SafeCheckpointer(Detector(5), empty).resume_or_load(path, resume=True)
    SafeCheckpointer(Detector(5), str(saved)).resume_or_load(path, resume=False)
    message = error_of(SafeCheckpointer(Detector(5), str(saved)).resume_or_load, path, resume=True)
    assert_says(message, "cls_score.weight", f"'{saved / 'last_checkpoint'}' points to it")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "truncated"),
    ],
)
def test_last_checkpoint_points_to_nothing_usable(saved, damage, words):
    path = saved / "model_0000001.pth"
    damage(path)
    message = error_of(SafeCheckpointer(Detector(), str(saved)).resume_or_load, "", resume=True)
    assert_says(
        message, f"'{path}'", words, f"'{saved / 'last_checkpoint'}' points to it", "delete"
    )


# Writing


def half_of(write):
    """`torch.save` that writes some bytes, then fails."""

    def save(data, file):
        file.write(b"half of a checkpoint")
        write()

    return save


def full_disk():
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupt():
    raise KeyboardInterrupt


def read_all(folder: Path):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["model_0000001", "model_0000002"])
def test_a_full_disk_leaves_the_checkpoints_before_it_intact(saved, monkeypatch, name):
    before = read_all(saved)
    monkeypatch.setattr(torch, "save", half_of(full_disk))
    message = error_of(SafeCheckpointer(Detector(), str(saved)).save, name)
    assert_says(message, f"'{saved / name}.pth' cannot be written", "No space left on device")
    assert read_all(saved) == before


def test_an_interrupt_leaves_the_checkpoints_before_it_intact(saved, monkeypatch):
    before = read_all(saved)
    monkeypatch.setattr(torch, "save", half_of(interrupt))
    with pytest.raises(KeyboardInterrupt):
        SafeCheckpointer(Detector(), str(saved)).save("model_0000002")
    assert read_all(saved) == before


def test_torch_itself_meets_a_full_disk(saved):
    resource = pytest.importorskip("resource")
    before, limits = read_all(saved), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        message = error_of(SafeCheckpointer(Detector(width=99), str(saved)).save, "model_0000002")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert_says(message, "model_0000002.pth'", "File too large")
    assert read_all(saved) == before


def test_a_folder_that_is_gone_is_made_again(tmp_path):
    SafeCheckpointer(Detector(), str(tmp_path / "gone")).save("model_final")
    assert (tmp_path / "gone" / "model_final.pth").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    message = error_of(SafeCheckpointer(Detector(), str(tmp_path / "file")).save, "model_final")
    assert_says(message, "file/model_final.pth'", "cannot be written")


def test_an_error_that_is_not_the_disk_s_passes(saved, monkeypatch):
    def fail():
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(torch, "save", half_of(fail))
    with pytest.raises(RuntimeError, match="CUDA error"):
        SafeCheckpointer(Detector(), str(saved)).save("model_0000002")
