"""Checks that a Ray cluster may be at an address: a server there answers and speaks gRPC."""

import os
import socket
from urllib.parse import urlsplit

import grpc

from imbdet.errors import UserError

# Seconds that a machine may take to answer; Ray itself tries for minutes.
_PATIENCE = 10


def require_answer(address: str) -> None:
    """Refuse an address of a host and a port at which no server answers as a cluster does.

    Args:
        address: address such as "host:6379" or "ray://host:10001", or "auto" with one of these in
            RAY_ADDRESS. Ray resolves other addresses by itself, without waiting.

    Raises:
        UserError: the host is unknown, out of reach, or has nothing at the port, or something that
            does not speak gRPC.
    """
    where = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    try:
        parts = urlsplit(where if "://" in where else f"//{where}")
        if not (parts.hostname and parts.port):
            return
        socket.create_connection((parts.hostname, parts.port), _PATIENCE).close()
        _require_grpc(parts.hostname, parts.port)
    except grpc.FutureTimeoutError as error:
        reason = f"what answers at {where} does not speak gRPC, as Ray does"
        raise no_cluster(address, reason) from error
    except OSError as error:
        reason = f"{where} does not answer: {error.strerror or error}"
        raise no_cluster(address, reason) from error
    except ValueError as error:  # no port, ...
        raise no_cluster(address, str(error)) from error


def _require_grpc(host: str, port: int) -> None:
    """Wait for a channel.

    Raises:
        FutureTimeoutError: the channel is not ready within ``_PATIENCE`` seconds.
    """
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return  # Ray has the keys
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    # Ray uses no proxy, either.
    with grpc.insecure_channel(target, [("grpc.enable_http_proxy", 0)]) as channel:
        grpc.channel_ready_future(channel).result(_PATIENCE)


def no_cluster(address: str, reason: str) -> UserError:
    """The error for an address without a cluster."""
    return UserError(
        f"There is no Ray cluster at --ray {address} ({reason}): start one by `ray start --head`, "
        "or name its address."
    )
