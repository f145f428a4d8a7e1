"""Whether anything answers at the address of a Ray cluster."""

import os
import socket
from urllib.parse import urlsplit

from imbdet.errors import UserError

# Seconds that a machine may take to answer; Ray itself tries for minutes.
_PATIENCE = 10


def require_answer(address: str) -> None:
    """Refuse an address of a host and a port at which nothing answers.

    Args:
        address: such as "host:6379" or "ray://host:10001", or "auto" with such a one in
            RAY_ADDRESS. What else Ray takes it looks up by itself, without waiting.

    Raises:
        UserError: the host is unknown, out of reach, or has nothing at the port.
    """
    where = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    try:
        parts = urlsplit(where if "://" in where else f"//{where}")
        if parts.hostname and parts.port:
            socket.create_connection((parts.hostname, parts.port), _PATIENCE).close()
    except OSError as error:
        reason = f"{where} does not answer: {error.strerror or error}"
        raise no_cluster(address, reason) from error
    except ValueError as error:  # no port, ...
        raise no_cluster(address, str(error)) from error


def no_cluster(address: str, reason: str) -> UserError:
    """The error of an address at which no cluster is."""
    return UserError(
        f"There is no Ray cluster at --ray {address} ({reason}): start one by `ray start --head`, "
        "or name its address."
    )
