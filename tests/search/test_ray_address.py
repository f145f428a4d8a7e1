"""Addresses of a Ray cluster at which nothing or something else answers; Ray is not needed."""

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import grpc
import pytest

from imbdet.errors import UserError
from imbdet.search import ray_address
from imbdet.search.ray_address import require_answer
from tests.ports import reserve_port


@pytest.fixture
def cluster():
    """A server of gRPC on this machine, as Ray has it, and its port."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield server, port
    server.stop(None).wait()


@pytest.fixture
def dead_port():
    """A port at which nothing answers."""
    with reserve_port() as holder:
        yield holder.getsockname()[1]


FORMS = ["127.0.0.1:{}", "ray://127.0.0.1:{}", "ray://127.0.0.1:{}/name"]


@pytest.mark.parametrize("form", FORMS)
def test_a_dead_port_is_refused_and_a_live_one_is_not(form, cluster, dead_port):
    require_answer(form.format(cluster[1]))
    address = form.format(dead_port)
    with pytest.raises(UserError, match=f"{address} does not answer: Connection refused"):
        require_answer(address)


@pytest.mark.parametrize("form", FORMS)
def test_what_answers_but_is_no_cluster_is_refused_soon(form, monkeypatch):
    monkeypatch.setattr(ray_address, "_PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = form.format(silent.getsockname()[1])
        with pytest.raises(UserError, match=f"what answers at {address} does not speak gRPC"):
            require_answer(address)


def test_a_cluster_with_keys_is_left_to_ray(monkeypatch):
    monkeypatch.setattr(ray_address, "_PATIENCE", 0.5)
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        require_answer(f"127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError("timed out"), "timed out"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
)
def test_a_wrong_host_is_refused_within_seconds(error, reason, monkeypatch):
    def connect(address, timeout):
        assert address == ("far", 6379)
        assert timeout <= 10
        raise error

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(UserError, match=f"--ray far:6379 .far:6379 does not answer: {reason}"):
        require_answer("far:6379")


def test_auto_follows_the_environment(cluster, dead_port, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{cluster[1]}")
    require_answer("auto")
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{dead_port}")
    with pytest.raises(UserError, match=f"--ray auto .127.0.0.1:{dead_port} does not answer"):
        require_answer("auto")


@pytest.mark.parametrize("address", ["auto", "local", "host", "ray://host"])
def test_what_ray_looks_up_is_left_to_it(address, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    require_answer(address)


@pytest.mark.parametrize("address", ["host:x", "host:99999", "[host:1"])
def test_no_port_is_one_sentence(address):
    with pytest.raises(UserError, match="There is no Ray cluster at --ray"):
        require_answer(address)


def test_the_search_says_so_before_ray_is_asked(search, dead_port, monkeypatch, capfd):
    cloudpickle = SimpleNamespace(register_pickle_by_value=lambda module: None)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(cloudpickle=cloudpickle))
    monkeypatch.delitem(sys.modules, "imbdet.search.ray_launcher", raising=False)
    assert search("--ray", f"127.0.0.1:{dead_port}") == 2
    error = capfd.readouterr().err
    assert error.startswith("error: There is no Ray cluster at --ray 127.0.0.1")
    assert error.count("\n") == 1
    monkeypatch.delitem(sys.modules, "imbdet.search.ray_launcher")
