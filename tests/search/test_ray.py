"""A search whose trainings are tasks of Ray; skipped where Ray, an extra, is not installed."""

import functools
import os
import signal
import threading
import time

import pytest

from tests.search.conftest import SPACE
from tests.search.test_search import SLOW, content

ray = pytest.importorskip("ray")


@pytest.fixture(autouse=True)
def _own_cluster():
    yield
    ray.shutdown()


def test_two_workers_share_a_search(search, starts, tmp_path):
    assert search("--ray", "local", "--parallel", "2") == 0
    assert content(tmp_path)["final"]["difference"]["value"] == pytest.approx(5)
    assert set(starts().values()) == {1}


def test_a_failure_is_named(search, tmp_path):
    text = (SPACE % "bad").replace("LEVEL: 20", "LEVEL: 25")
    assert search("--ray", "local", text=text) == 0
    assert "failed with exit status 1: error: the loss is not finite" in str(content(tmp_path))


def test_a_signal_stops_all_with_their_checkpoints(search, starts, tmp_path, monkeypatch):
    """Tasks that wait for their turn do not keep the search from its end."""
    monkeypatch.setattr(ray, "init", functools.partial(ray.init, num_cpus=2))

    def press():
        while len(list(tmp_path.glob("o/*/*/ready"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    text = SLOW.replace("good", "slow")
    assert search("--ray", "local", "--parallel", "4", text=text) == 130
    thread.join()
    assert len(list(tmp_path.glob("o/*/*/checkpoint"))) == 2
    assert sum(starts().values()) == 2


def test_no_cluster_is_one_sentence(search, capfd):
    assert search("--ray", "auto") == 2
    error = capfd.readouterr().err
    assert "error: There is no Ray cluster at --ray auto" in error
