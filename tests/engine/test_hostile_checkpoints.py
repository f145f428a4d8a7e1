"""Checkpoints that are malicious or damaged."""

import logging
import os
import pickle
import random
import time
import zipfile

import numpy as np
import pytest
import torch

from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.engine.checkpoint_file import read_checkpoint
from imbdet.engine.checkpoint_folder import CheckpointFolder
from imbdet.engine.optimizer import adopt_state
from imbdet.engine.process_state import (
    get_random_states,
    restore_process_state,
    running_quantities,
)
from imbdet.engine.training_state import check_training_state
from tests.engine.test_checkpoint import Detector, save
from tests.messages import assert_says, error_of

NAME = "backbone.stem.conv1.weight"
SHAPE = (4, 3, 3, 3)


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def quickly(path):
    """The error of reading a file, which must be raised at once."""
    start = time.process_time()
    message = error_of(read_checkpoint, str(path))
    assert time.process_time() - start < 5
    return message


def rezip(path, change):
    """Writes an archive anew; ``change`` returns an entry's content and how to compress it."""
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            content, compression = change(name, content)
            archive.writestr(name, content, compression)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: x.to_sparse(), "a tensor that is sparse"),
        (lambda x: x.to("meta"), "a tensor that is without values"),
        (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), "a tensor that is quantized"),
        (lambda x: x.to(torch.complex64), "complex numbers"),
        (lambda x: x.log(), "values that are not finite"),
        (lambda x: x.to(torch.int8), "numbers of type torch.int8"),
        (lambda x: x.bool(), "numbers of type torch.bool"),
    ],
)
def test_weights_that_are_no_plain_numbers(tmp_path, make, words):
    state = {**Detector().state_dict(), NAME: make(torch.zeros(SHAPE))}
    torch.save(state, tmp_path / "a.pth")
    message = error_of(SafeCheckpointer(Detector()).load, str(tmp_path / "a.pth"))
    assert_says(message, "a.pth'", words)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_numbers_are_taken(tmp_path, dtype):
    state = {**Detector().state_dict(), NAME: torch.ones(SHAPE, dtype=dtype)}
    torch.save(state, tmp_path / "a.pth")
    model = Detector()
    SafeCheckpointer(model, strict=True).load(str(tmp_path / "a.pth"))
    assert (model.backbone.stem.conv1.weight == 1).all()


def test_a_replay_may_need_weights_that_are_not_finite(tmp_path):
    state = {**Detector().state_dict(), NAME: torch.full(SHAPE, torch.nan)}
    torch.save(state, tmp_path / "a.pth")
    SafeCheckpointer(Detector(), must_be_finite=False).load(str(tmp_path / "a.pth"))


@pytest.mark.parametrize("name", ["a.pth", "a.pkl"])
@pytest.mark.parametrize("special", ["/dev/zero", "pipe", "folder"])
def test_what_is_no_file(tmp_path, name, special):
    path = tmp_path / name
    if special == "pipe":
        os.mkfifo(path)
    elif special == "folder":
        path.mkdir()
    else:
        path.symlink_to(special)
    assert_says(quickly(path), "a folder" if special == "folder" else "a device or a pipe")


def test_an_archive_that_unpacks_to_gigabytes(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"x": torch.zeros(10_000_000)}, path)
    rezip(path, lambda name, content: (content, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 100_000
    assert_says(quickly(path), "it is compressed")


def test_a_tensor_of_more_bytes_than_there_are(tmp_path):
    # torch would read the memory after it.
    path = tmp_path / "a.pth"
    torch.save({"x": torch.zeros(300)}, path)

    def cut(name, content):
        return content[:4] if "/data/" in name else content, zipfile.ZIP_STORED

    rezip(path, cut)
    assert_says(quickly(path), "not a checkpoint")


def test_one_value_repeated_without_end(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"x": torch.zeros(1).expand(10**6, 10**6)}, path)
    assert_says(quickly(path), "not a checkpoint")


def doubling(codec):
    value = b"a" * 100
    for _ in range(40):
        value = Calls(codec.encode, value, "hex")
    return value


@pytest.mark.parametrize("name", ["a.pth", "a.pkl"])
@pytest.mark.parametrize(
    "make",
    [
        lambda codec: doubling(codec),
        lambda codec: Calls(bytearray, 10**12),
        lambda codec: Calls(bytes, 10**12),
        lambda codec: Calls(torch.Tensor, 10**12),
    ],
    ids=["doubled", "bytearray", "bytes", "Tensor"],
)
def test_calls_that_ask_for_gigabytes(tmp_path, name, make):
    import _codecs

    path = tmp_path / name
    if name == "a.pkl":
        path.write_bytes(pickle.dumps({"x": make(_codecs)}, 2))
    else:
        torch.save({"x": make(_codecs)}, path)
    assert quickly(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",  # a memo of 2 ** 31 values
        b"\x80\x02" + b"N0" * 2_000_000 + b"N.",  # four million operations
        b"\x80\x04\x8e" + (10**12).to_bytes(8, "little") + b"a.",  # bytes that are not there
        b"\x80\x02" + b"(" * 500_000,
    ],
    ids=["memo", "long", "bytes", "marks"],
)
@pytest.mark.parametrize("name", ["a.pth", "a.pkl"])
def test_pickles_that_take_memory_or_time(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert_says(quickly(tmp_path / name), "not a checkpoint")


def test_attributes_that_take_the_place_of_methods(tmp_path):
    state = Detector().state_dict()
    state.values = 5
    torch.save({"model": state}, tmp_path / "a.pth")
    assert_says(quickly(tmp_path / "a.pth"), "not a checkpoint")


# What a training goes on from


def training_state(**changes):
    hooks = {"LRScheduler": {"last_epoch": 8, "base_lrs": [0.1]}}
    optimizer = {"state": {}, "param_groups": [{"params": [0]}]}
    own = {"buffers": {}, "random": get_random_states()}
    state = {
        "iteration": 7,
        "hooks": hooks,
        "_trainer": {"optimizer": optimizer},
        "seed": 1,
        "processes": [own, {**own, "hooks": hooks}],
    }
    return {**state, **changes}


def test_a_right_state_passes():
    check_training_state(training_state())
    minimal = training_state()
    del minimal["seed"], minimal["processes"]
    check_training_state(minimal)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iteration": "7"}, "trainer.iteration is of type str, not int"),
        ({"iteration": True}, "trainer.iteration is of type bool"),
        ({"iteration": 8}, "of 9 iterations, but its schedule of learning rates is at 8"),
        (
            {"iteration": -1, "hooks": {"LRScheduler": {"last_epoch": 0}}, "processes": []},
            "negative",
        ),
        ({"hooks": None}, "trainer.hooks is of type NoneType"),
        ({"hooks": {}}, "has no trainer.hooks.LRScheduler"),
        ({"hooks": {"LRScheduler": {"last_epoch": None}}}, "last_epoch is of type NoneType"),
        ({"_trainer": []}, "trainer._trainer is of type list"),
        ({"_trainer": {"optimizer": [1]}}, "trainer._trainer.optimizer is of type list"),
        (
            {"_trainer": {"optimizer": {"state": {}, "param_groups": 1}}},
            "param_groups is of type int",
        ),
        ({"seed": None}, "trainer.seed is of type NoneType"),
        ({"seed": -4}, "negative"),
        ({"processes": {}}, "trainer.processes is of type dict"),
        ({"processes": [{}]}, "has no trainer.processes[0].buffers"),
    ],
)
def test_parts_of_a_wrong_type_are_named(changes, words):
    assert_says(error_of(check_training_state, training_state(**changes)), words)


def test_a_state_without_the_optimizer_is_told():
    state = training_state()
    del state["_trainer"]
    assert_says(error_of(check_training_state, state), "no state of the optimizer", "MODEL.WEIGHTS")


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ({}, "its optimizer has no state"),
        ({0: {"momentum_buffer": torch.zeros(3)}}, "has shape (3,), not (2, 2)"),
        ({0: {"momentum_buffer": "much"}}, "state[0].momentum_buffer is of type str"),
        ({0: {}}, "has no optimizer.state[0].momentum_buffer"),
        ({0: None}, "optimizer.state[0] is of type NoneType"),
        ({"a": {"momentum_buffer": None}}, "optimizer.state[a] is of no parameter"),
        ({0: {"momentum_buffer": torch.full((2, 2), torch.inf)}}, "not finite"),
    ],
)
def test_what_the_optimizer_would_stumble_over(kept, words):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2, 2))], lr=0.1, momentum=0.9)
    state = {**optimizer.state_dict(), "state": kept}
    assert_says(error_of(adopt_state, optimizer, state), words)


@pytest.mark.parametrize("name", ["python", "numpy", "torch"])
@pytest.mark.parametrize("value", [None, (), "MT19937", (3, (1, 2), None), torch.zeros(3)])
def test_damaged_random_states(name, value):
    state = {"buffers": {}, "random": {**get_random_states(), name: value}}
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        message = error_of(restore_process_state, running_quantities(Detector()), state)
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
    assert_says(message, "state of random numbers is not as a training writes it")


def test_buffers_of_another_model():
    state = {"buffers": {"pixel_mean": torch.zeros(1)}, "random": get_random_states()}
    assert_says(
        error_of(restore_process_state, running_quantities(Detector()), state), "of another model"
    )


def test_weights_alone_are_nothing_to_resume_from(tmp_path):
    save(Detector(), tmp_path, "model_0000001")
    model = Detector()
    checkpointer = SafeCheckpointer(model, str(tmp_path), trainer=model)
    message = error_of(checkpointer.resume_or_load, "", resume=True)
    assert_says(message, "it has weights, but not the optimizer", "MODEL.WEIGHTS")


# Which checkpoint is the last one


@pytest.fixture
def folder(tmp_path):
    """A run with three checkpoints, the last two of them of iterations 5 and 3."""
    for i, name in ((1, "0000001"), (3, "final"), (5, "0000005")):
        save(Detector(), tmp_path, f"model_{name}", iteration=i)
    return tmp_path


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe\0", b"../x.pth", b"config.yaml", b"a\nb.pth", b"a" * 5000]
)
def test_without_a_tag_the_newest_checkpoint_is_found(folder, content, caplog):
    tag = folder / "last_checkpoint"
    tag.unlink()
    if content is not None:
        tag.write_bytes(content)
    checkpointer = SafeCheckpointer(Detector(), str(folder))
    assert checkpointer.has_checkpoint()
    assert checkpointer.resume_or_load("", resume=True) == {"iteration": 5}
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert_says(warning, "last_checkpoint'", "missing or damaged", "Going on from", "0000005.pth'")


def test_the_end_of_a_training_counts_by_its_iteration(folder):
    (folder / "last_checkpoint").unlink()
    save(Detector(), folder, "model_final", iteration=9)
    (folder / "last_checkpoint").unlink()
    assert CheckpointFolder(folder).find_intact().name == "model_final.pth"


def test_a_pipe_is_no_tag(folder):
    (folder / "last_checkpoint").unlink()
    os.mkfifo(folder / "last_checkpoint")
    assert CheckpointFolder(folder).find_intact().name == "model_0000005.pth"
