"""Ports of this machine that belong to one test."""

import socket


def reserve_port():
    """A socket that does not listen: until it is closed, nothing else gets its port by chance."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder
