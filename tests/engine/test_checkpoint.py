import copy
import errno
import logging
import os
import pickle
import re
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.engine.checkpoint_file import read_checkpoint
from imbdet.engine.checkpoint_folder import CheckpointFolder
from imbdet.engine.saver import PeriodicSaver
from imbdet.errors import UserError
from imbdet.ops.buffers import KeepsMissingBuffers
from imbdet.untrusted.array_pickle import load_arrays
from tests.messages import assert_says, error_of


class Detector(nn.Module):
    """A model that is named like a detector of detectron2."""

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


def save(model, folder, name, *, keep=0, iteration=0, **checkpointables):
    checkpointer = SafeCheckpointer(model, str(folder), keep=keep, **checkpointables)
    checkpointer.save(name, iteration=iteration)
    checkpointer.writer.wait()


@pytest.fixture
def saved(tmp_path):
    """A folder with one checkpoint of a `Detector`."""
    save(Detector(), tmp_path, "model_0000001")
    return tmp_path


# Reading


def test_round_trip_with_the_optimizer(tmp_path):
    model = Detector()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train_a_step(model, optimizer)
    save(model, tmp_path, "model_0000007", iteration=7, optimizer=optimizer)

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
        save(wrapped, tmp_path, "model")
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
    """Pickles as a call of what numpy's own pickles name, with arguments that they never have."""

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


class Gathering(Detector):
    """With running quantities, of classes or not."""

    def __init__(self, num_classes=3):
        super().__init__(num_classes)
        self.loss = KeepsMissingBuffers()
        self.loss.register_buffer("normalizer", torch.tensor(100.0))
        self.loss.register_buffer("sums_of_classes", torch.zeros(num_classes))
        self.loss.register_buffer("seed", torch.randint(2**31, ()))
        self.norm = nn.BatchNorm2d(4)

    def gather(self):
        with torch.no_grad():
            for value in self.state_dict().values():
                value += 1


@pytest.mark.parametrize("num_classes", [3, 5])
def test_a_training_from_weights_gathers_anew(tmp_path, num_classes, caplog):
    learned, model = Gathering(), Gathering(num_classes)
    learned.gather()
    before = copy.deepcopy(model)
    save(learned, tmp_path, "a")
    with caplog.at_level(logging.INFO):
        SafeCheckpointer(model).load(str(tmp_path / "a.pth"))
    for name in ("loss.normalizer", "loss.sums_of_classes", "loss.seed"):
        assert model.state_dict()[name].equal(before.state_dict()[name])
    assert model.norm.running_mean.equal(learned.norm.running_mean)
    (said,) = [r.getMessage() for r in caplog.records if "Running quantities" in r.getMessage()]
    assert_says(said, "'loss.normalizer'", "'loss.seed'", "'loss.sums_of_classes'")
    assert "sums_of_classes" not in "".join(
        record.getMessage() for record in caplog.records if record.levelno == logging.WARNING
    )


def test_a_training_from_weights_without_running_quantities_says_nothing(tmp_path, caplog):
    save(Detector(), tmp_path, "a")
    with caplog.at_level(logging.INFO):
        SafeCheckpointer(Gathering()).load(str(tmp_path / "a.pth"))
    assert "Running quantities" not in caplog.text


def test_evaluations_and_resumed_trainings_have_what_was_gathered(tmp_path):
    learned, evaluated, resumed = Gathering(), Gathering(), Gathering()
    learned.gather()
    save(learned, tmp_path, "a")
    SafeCheckpointer(evaluated, strict=True).load(str(tmp_path / "a.pth"))
    SafeCheckpointer(resumed, str(tmp_path)).resume_or_load("", resume=True)
    assert_same_state(evaluated, learned)
    assert_same_state(resumed, learned)
    message = error_of(SafeCheckpointer(Gathering(5), strict=True).load, str(tmp_path / "a.pth"))
    assert_says(message, "'loss.sums_of_classes' has shape (3,) in the file, (5,) in the model")


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
    assert_says(message, "cls_score.weight", f"write its name into '{saved / 'last_checkpoint'}'")


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
    assert_says(message, f"'{path}'", words, f"'{saved / 'last_checkpoint'}'", "another OUTPUT_DIR")


# Writing


def full_disk(file):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupt(data, file):
    file.write(b"half of a checkpoint")
    raise KeyboardInterrupt


def read_all(folder: Path):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["model_0000001", "model_0000002"])
def test_a_full_disk_leaves_the_checkpoints_before_it_intact(saved, monkeypatch, name):
    before = read_all(saved)
    monkeypatch.setattr(os, "fsync", full_disk)
    message = error_of(save, Detector(), saved, name)
    assert_says(message, f"'{saved / name}.pth' cannot be written", "No space left on device")
    assert read_all(saved) == before


def test_an_interrupt_leaves_the_checkpoints_before_it_intact(saved, monkeypatch):
    before = read_all(saved)
    monkeypatch.setattr(torch, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(Detector(), saved, "model_0000002")
    assert read_all(saved) == before


def test_torch_itself_meets_a_full_disk(saved):
    resource = pytest.importorskip("resource")
    before, limits = read_all(saved), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        message = error_of(save, Detector(width=99), saved, "model_0000002")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert_says(message, "model_0000002.pth'", "File too large")
    assert read_all(saved) == before


def test_a_folder_that_is_gone_is_made_again(tmp_path):
    save(Detector(), tmp_path / "gone", "model_final")
    assert (tmp_path / "gone" / "model_final.pth").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    message = error_of(save, Detector(), tmp_path / "file", "model_final")
    assert_says(message, "file/model_final.pth'", "cannot be written")


def test_an_error_that_is_not_the_disk_s_passes(saved, monkeypatch):
    def fail(file):
        raise RuntimeError("a bug")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        save(Detector(), saved, "model_0000002")


# In a thread


@pytest.fixture
def gate(monkeypatch):
    """An event without which no file gets onto the disk."""
    gate = threading.Event()
    fsync = os.fsync

    def wait_and_sync(file):
        assert gate.wait(30)
        fsync(file)

    monkeypatch.setattr(os, "fsync", wait_and_sync)
    return gate


def test_the_training_goes_on_while_the_disk_works(tmp_path, gate):
    model = Detector()
    before = copy.deepcopy(model)
    checkpointer = SafeCheckpointer(model, str(tmp_path))
    checkpointer.save("model_0000001")
    with torch.no_grad():
        model.backbone.stem.conv1.weight += 1
    assert not (tmp_path / "last_checkpoint").exists()
    gate.set()
    checkpointer.writer.wait()
    SafeCheckpointer(model, strict=True).load(str(tmp_path / "model_0000001.pth"))
    assert_same_state(model, before)


def test_one_file_waits_for_the_one_before(tmp_path, gate):
    checkpointer = SafeCheckpointer(Detector(), str(tmp_path))
    checkpointer.save("model_0000001")
    threading.Timer(0.2, gate.set).start()
    checkpointer.save("model_0000002")
    assert (tmp_path / "model_0000001.pth").exists()
    checkpointer.writer.wait()


def test_a_failed_file_stops_the_next_step(saved, monkeypatch):
    monkeypatch.setattr(os, "fsync", full_disk)
    checkpointer = SafeCheckpointer(Detector(), str(saved))
    saver = PeriodicSaver(checkpointer, period=2)
    saver.trainer = SimpleNamespace(iter=1, max_iter=9)
    saver.before_train()
    saver.after_step()
    deadline = time.monotonic() + 30
    while not checkpointer.writer._writing.done() and time.monotonic() < deadline:
        time.sleep(0.01)
    saver.trainer.iter = 2
    assert_says(error_of(saver.after_step), "model_0000001.pth", "No space left on device")


# Which files there are


def test_the_newest_stay(tmp_path):
    for i, name in enumerate(["0000001", "0000003", "final", "0000005", "0000007"]):
        save(Detector(), tmp_path, f"model_{name}", keep=2, iteration=i)
    (tmp_path / "model_0000009.pth").touch()  # a file of a run that went another way
    save(Detector(), tmp_path, "model_0000008", keep=2)
    names = {path.stem for path in tmp_path.glob("*.pth")}
    assert names == {"model_0000007", "model_0000008", "model_0000009", "model_final"}


def test_all_stay_by_default(tmp_path):
    for i in range(4):
        save(Detector(), tmp_path, f"model_000000{i}")
    assert len(list(tmp_path.glob("*.pth"))) == 4


@pytest.mark.parametrize(
    ("tag", "left"),
    [("final", {"final", "best"}), ("0000001", {"final", "best", "0000001"}), (None, None)],
)
def test_all_but_the_last_one_can_be_removed(tmp_path, tag, left):
    names = {"final", "best", "0000001", "0000003"}
    for name in names:
        (tmp_path / f"model_{name}.pth").touch()
    folder = CheckpointFolder(tmp_path)
    if tag:
        folder.set_tag(f"model_{tag}.pth")
    folder.keep_tagged()
    assert {path.stem for path in tmp_path.glob("*.pth")} == {f"model_{n}" for n in left or names}


def test_what_is_left_of_an_interrupted_removal_is_gone_on_with(tmp_path, monkeypatch):
    for name in ("model_0000001", "model_0000003"):
        save(Detector(), tmp_path, name)
    (tmp_path / ".model_0000005.pth.tmp").touch()
    folder = CheckpointFolder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", lambda path, pattern: iter([tmp_path / "model_0000003.pth"]))
        folder.remove_all()
    assert folder.find_intact().stem == "model_0000001"
    folder.remove_all()
    assert not folder.holds_run()
    assert os.listdir(tmp_path) == []
    folder.remove_all()  # again, nothing happens


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-700]),
    "empty": lambda path: path.write_bytes(b""),
    "foreign": lambda path: path.write_text("<html>"),
    "code": lambda path: path.write_bytes(pickle.dumps({"model": RunsCode(path)})),
    "other data": lambda path: torch.save([1], path),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_newest_intact_checkpoint_is_used_and_others_are_named(tmp_path, damage, caplog):
    for i in (1, 3, 5):
        save(Detector(), tmp_path, f"model_000000{i}", iteration=i)
    save(Detector(), tmp_path, "model_final", iteration=5)
    for name in ("model_final.pth", "model_0000005.pth"):
        damage(tmp_path / name)
    resumed = SafeCheckpointer(Detector(), str(tmp_path)).resume_or_load("", resume=True)
    assert resumed == {"iteration": 3}
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert_says(warning, "model_final.pth': it ", "model_0000005.pth': it ", "model_0000003.pth'.")


def test_a_later_checkpoint_of_another_run_is_not_used(tmp_path):
    for i in (1, 5, 3):
        save(Detector(), tmp_path, f"model_000000{i}", iteration=i)
    (tmp_path / "model_0000003.pth").unlink()
    resumed = SafeCheckpointer(Detector(), str(tmp_path)).resume_or_load("", resume=True)
    assert resumed == {"iteration": 1}


def test_every_changed_byte_is_noticed(saved):
    path = saved / "model_0000001.pth"
    whole = path.read_bytes()
    for i in range(0, len(whole), 7):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :])
        with pytest.raises(UserError):
            read_checkpoint(str(path))
    path.write_bytes(whole)
    read_checkpoint(str(path))


def test_a_changed_tensor_in_a_file_of_torch_itself_is_noticed(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"model": {"weight": torch.full((100,), 7.0)}}, path)
    read_checkpoint(str(path))
    sevens, eights = (np.full(100, value, np.float32).tobytes() for value in (7, 8))
    assert sevens in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(sevens, eights))
    assert_says(error_of(read_checkpoint, str(path)), "its checksum differs")


def test_a_query_asks_for_matching_by_names_ends(tmp_path):
    # The address has a query as in detectron2's main branch: "x.pth?matching_heuristics=True".
    model, other = Detector(5), Detector(5)
    state = {name.split(".", 1)[-1]: value for name, value in model.state_dict().items()}
    torch.save(state, tmp_path / "x.pth")
    path = f"{tmp_path / 'x.pth'}?matching_heuristics="
    SafeCheckpointer(other, strict=True).load(f"{path}True")
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    for query in ("", "yes"):
        message = error_of(SafeCheckpointer(other).load, path + query)
        assert "must be followed by True or False" in message
