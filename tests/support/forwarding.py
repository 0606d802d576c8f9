"""A small forwarder between a client and a server, to be slow or to break off when a test says so."""

import contextlib
import socket
import threading
import time
from pathlib import Path

PIECE = 64 * 1024


class Forwarder:
    """Listens on loopback and hands on what comes, at most `rate` bytes a second towards the client."""

    def __init__(self, server: tuple[str, int] | Path, rate: int | None = None) -> None:
        self._server = server
        self._rate = rate
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.listen()

    @property
    def address(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.port}"

    def listen(self) -> None:
        """Let connections in, for the first time or again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> int:
        """Break every connection off and return how many there were; new ones are let in."""
        with self._lock:
            for one in self._open:
                # A reader in another thread is woken up by this, not by a close.
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            count, self._open = len(self._open) // 2, []
        return count

    def close(self) -> None:
        """Break all off and let none in any more."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), self._connect() as server:
            with self._lock:
                self._open += [client, server]
            up = threading.Thread(target=_pump, args=(client, server, None), daemon=True)
            up.start()
            _pump(server, client, self._rate)
            up.join()

    def _connect(self) -> socket.socket:
        if isinstance(self._server, Path):
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            return server
        return socket.create_connection(self._server)


def _pump(source: socket.socket, sink: socket.socket, rate: int | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE if rate is None else min(PIECE, rate // 10)):
            sink.sendall(data)
            if rate is not None:
                time.sleep(len(data) / rate)
    # Both ways end together: nobody here says half a goodbye.
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
