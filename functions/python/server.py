"""The listener and its connections: one thread, since one virtual CPU gains nothing from more.

`asyncio` would do the same, but importing it takes about as long as all other imports together.
"""

import os
import socket
import sys
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector

from http2 import Http2

DEFAULT_PORT = "50051"
CHUNK = 64 * 1024
# No method of HTTP/1.1 begins like this; that is what the preface of HTTP/2 was chosen for (RFC 9113, section 3.4).
PREFACE = b"PRI "


class Connection:
    def __init__(self, stream: socket.socket, selector: DefaultSelector) -> None:
        stream.setblocking(False)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = stream
        self._selector = selector
        self._protocol = None
        self._start = b""
        self._out = b""
        selector.register(stream, EVENT_READ, self)

    def wake(self, mask: int) -> None:
        try:
            if mask & EVENT_READ:
                self._read()
            self._write()
        except BlockingIOError:
            pass
        except OSError:
            self._close()

    def _read(self) -> None:
        data = self._stream.recv(CHUNK)
        if not data:
            self._close()
        elif self._protocol:
            self._protocol.receive(data)
        else:
            self._choose(self._start + data)

    def _choose(self, start: bytes) -> None:
        if start.startswith(PREFACE):
            self._protocol = Http2()
        elif PREFACE.startswith(start):
            self._start = start
            return
        else:
            # Behind a port named h2c nobody speaks HTTP/1.1, so that its import would only delay the start.
            from http1 import Http1

            self._protocol = Http1()
        self._protocol.receive(start)

    def _write(self) -> None:
        if not self._protocol or self._stream.fileno() < 0:
            return
        self._out += self._protocol.take()
        if self._out:
            try:
                self._out = self._out[self._stream.send(self._out) :]
            except BlockingIOError:
                pass
        if self._protocol.ended and not self._out:
            self._close()
        else:
            # Who does not read is not read from, so that nothing piles up here.
            self._selector.modify(self._stream, EVENT_WRITE if self._out else EVENT_READ, self)

    def _close(self) -> None:
        if self._stream.fileno() >= 0:
            self._selector.unregister(self._stream)
            self._stream.close()


def run(name: str) -> None:
    port = os.environ.get("PORT", DEFAULT_PORT)
    if not port.isdecimal():
        sys.exit(f"PORT is not a port number: {port!r}")
    selector = DefaultSelector()
    listener = socket.create_server(("", int(port)), backlog=128)
    listener.setblocking(False)
    selector.register(listener, EVENT_READ)
    print(f"{name} listens on port {port}", flush=True)
    while True:
        for key, mask in selector.select():
            if key.data:
                key.data.wake(mask)
                continue
            try:
                Connection(listener.accept()[0], selector)
            except OSError:
                pass  # they went away before they were met
