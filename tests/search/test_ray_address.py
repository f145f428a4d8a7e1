"""An address of a Ray cluster at which nothing answers; without Ray, an extra."""

import socket
import sys
from types import SimpleNamespace

import pytest

from imbdet.errors import UserError
from imbdet.search.ray_address import require_answer


@pytest.fixture
def listener():
    """A socket that answers on this machine, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, server.getsockname()[1]


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "ray://127.0.0.1:{}/name"])
def test_a_dead_port_is_refused_and_a_live_one_is_not(form, listener):
    server, port = listener
    address = form.format(port)
    require_answer(address)
    server.close()
    with pytest.raises(UserError, match=f"{address} does not answer: Connection refused"):
        require_answer(address)


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


def test_auto_follows_the_environment(listener, monkeypatch):
    server, port = listener
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    require_answer("auto")
    server.close()
    with pytest.raises(UserError, match=f"--ray auto .127.0.0.1:{port} does not answer"):
        require_answer("auto")


@pytest.mark.parametrize("address", ["auto", "local", "host", "ray://host"])
def test_what_ray_looks_up_is_left_to_it(address, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    require_answer(address)


@pytest.mark.parametrize("address", ["host:x", "host:99999", "[host:1"])
def test_no_port_is_one_sentence(address):
    with pytest.raises(UserError, match="There is no Ray cluster at --ray"):
        require_answer(address)


def test_the_search_says_so_before_ray_is_asked(search, listener, monkeypatch, capfd):
    server, port = listener
    server.close()
    cloudpickle = SimpleNamespace(register_pickle_by_value=lambda module: None)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(cloudpickle=cloudpickle))
    monkeypatch.delitem(sys.modules, "imbdet.search.ray_launcher", raising=False)
    assert search("--ray", f"127.0.0.1:{port}") == 2
    error = capfd.readouterr().err
    assert error.startswith("error: There is no Ray cluster at --ray 127.0.0.1")
    assert error.count("\n") == 1
    monkeypatch.delitem(sys.modules, "imbdet.search.ray_launcher")
