"""A network of its own for the browser, with one way out: a SOCKS proxy to this machine.

A browser ends its requests whenever a network is added or removed, as the tests of Docker do all the time.
"""

import ctypes
import fcntl
import os
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# From linux/sched.h, linux/sockios.h and linux/if.h.
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 1


class _Socks(socketserver.BaseRequestHandler):
    """Connects to a port of this machine; RFC 1928, without authentication."""

    request: socket.socket

    def handle(self) -> None:
        with suppress(OSError, EOFError), self._connection() as there:
            back = threading.Thread(target=_copy, args=(there, self.request))
            back.start()
            _copy(self.request, there)
            back.join()

    def _connection(self) -> socket.socket:
        self._read(self._read(2)[1])  # the ways to sign in
        self.request.sendall(b"\x05\x00")
        kind = self._read(4)[3]
        self._read(4 if kind == 1 else self._read(1)[0])  # whatever the address, it is this machine
        (port,) = struct.unpack("!H", self._read(2))
        there = socket.create_connection(("127.0.0.1", port))
        self.request.sendall(b"\x05\x00\x00\x01" + bytes(6))
        return there

    def _read(self, size: int) -> bytes:
        data = self.request.recv(size, socket.MSG_WAITALL)
        if len(data) < size:
            raise EOFError
        return data


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _Server(socketserver.ThreadingTCPServer):
    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.getsockname(), _Socks, bind_and_activate=False)
        self.socket.close()
        self.socket = listening


@contextmanager
def quiet_network(program: Path, folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield the program in a network of its own, and its arguments; without root, the program as it is."""
    if os.geteuid() != 0:
        yield program, []
        return
    listening, network = _in_new_network()
    wrapped = folder / program.name
    wrapped.write_text(f'#!/bin/sh\nexec nsenter --net=/proc/{os.getpid()}/fd/{network} -- {program} "$@"\n')
    wrapped.chmod(0o700)
    with _Server(listening) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        proxy = f"--proxy-server=socks5://127.0.0.1:{listening.getsockname()[1]}"
        # Without this, a browser asks no proxy for addresses of its own machine.
        yield wrapped, [proxy, "--proxy-bypass-list=<-loopback>"]
        server.shutdown()
        serving.join()
    os.close(network)


def _in_new_network() -> tuple[socket.socket, int]:
    """Return a socket that listens in a new network, and the network's descriptor."""
    made: list[tuple[socket.socket, int]] = []

    def make() -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
        listening = socket.create_server(("127.0.0.1", 0))
        made.append((listening, os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)))

    # A thread leaves our network alone, and ends.
    maker = threading.Thread(target=make)
    maker.start()
    maker.join()
    return made[0]
