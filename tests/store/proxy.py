"""A way to a server that can be cut, at a moment that a test chooses."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

_COMMITTED = b"COMMIT\x00"  # what a server says of a commit, whatever a client called the statement


class Proxy:
    """Carries bytes between clients and a server on this machine.

    Attributes:
        url: As the server's, through here.
    """

    def __init__(self, url: str):
        parts = urlsplit(url)
        assert parts.port is not None
        self._server = ("127.0.0.1", parts.port)
        self._door = socket.create_server(("127.0.0.1", 0))
        port = self._door.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=parts.netloc.replace(str(parts.port), str(port))))
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._closed = False
        self._at_client: Callable[[bytes], bool] | None = None
        self._at_server: Callable[[bytes], bool] | None = None
        self.cuts = 0

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._closed = True
        self._door.close()
        self.cut()

    def cut(self) -> None:
        """End all connections there are."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            self._end(pair)

    def cut_behind_a_commit(self) -> None:
        """The next one whose commit is done does not hear of it."""
        self._at_server = lambda said: _COMMITTED in said

    def cut_before_word(self, number: int) -> None:
        """What a client says for the time *number* from now on, from 1, does not arrive."""
        left = number

        def count(_: bytes) -> bool:
            nonlocal left
            left -= 1
            return left == 0

        self._at_client = count

    # -- in threads ----------------------------------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                try:
                    server = socket.create_connection(self._server)
                except OSError:  # it is being restarted
                    client.close()
                    continue
                pair = (client, server)
                with self._lock:
                    self._pairs.append(pair)
                for one, other, is_client in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._carry, args=(pair, one, other, is_client), daemon=True).start()

    def _carry(
        self, pair: tuple[socket.socket, socket.socket], one: socket.socket, other: socket.socket, is_client: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while said := one.recv(65536):
                if self._is_cut(said, is_client):
                    break
                other.sendall(said)
        self._end(pair)

    def _is_cut(self, said: bytes, is_client: bool) -> bool:
        with self._lock:
            asked = self._at_client if is_client else self._at_server
            if asked is None or not asked(said):
                return False
            self._at_client = self._at_server = None
            self.cuts += 1
            return True

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
