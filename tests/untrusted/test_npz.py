import os

import numpy as np
import pytest

from imbdet.untrusted.npz import read_npz


def test_what_was_written(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(3), b=np.eye(2))
    arrays = read_npz(tmp_path / "a.npz")
    assert arrays["a"].tolist() == [0, 1, 2]
    assert arrays["b"].shape == (2, 2)


def objects(path):
    np.savez(path, a=np.array([{}], dtype=object))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: np.savez_compressed(path, a=np.zeros(10_000_000)), "unpacks to 80,000,"),
        (lambda path: path.write_bytes(b"PK\3\4 no archive"), "it is damaged"),
        (objects, "Object arrays"),
    ],
)
def test_what_is_refused(tmp_path, make, words):
    path = tmp_path / "a.npz"
    make(path)
    with pytest.raises(ValueError, match=words):
        read_npz(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(OSError, match="a pipe"):
        read_npz(tmp_path / "a.npz")
