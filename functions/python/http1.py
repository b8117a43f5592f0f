"""One HTTP/1.1 connection: bytes in, bytes out, no socket."""

import h11

import call
import plain


class Http1:
    def __init__(self) -> None:
        self._connection = h11.Connection(h11.SERVER)
        self._method = b""
        self._body = bytearray()
        self._out = bytearray()
        self.ended = False

    def receive(self, data: bytes) -> None:
        try:
            self._connection.receive_data(data)
            while not self.ended and self._step():
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, b"this is not HTTP\n")

    def take(self) -> bytes:
        """What is to be sent."""
        out, self._out = self._out, bytearray()
        return bytes(out)

    def _step(self) -> bool:
        """Handles one event. False if more input is needed first."""
        event = self._connection.next_event()
        if event is h11.NEED_DATA:
            if self._connection.they_are_waiting_for_100_continue:
                self._send(h11.InformationalResponse(status_code=100, headers=[]))
            return False
        if isinstance(event, h11.Request):
            self._method = event.method
            self._body.clear()
        elif isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > call.LONGEST_TEXT:
                self._refuse(413, b"the request is too large\n")
        elif isinstance(event, h11.EndOfMessage):
            self._respond(*plain.answer(self._method, bytes(self._body)))
            if self._connection.our_state is h11.DONE:
                self._connection.start_next_cycle()
            else:
                self.ended = True
        else:
            # They have closed, or ask for another protocol.
            self.ended = True
        return True

    def _refuse(self, status: int, why: bytes) -> None:
        if self._connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._respond(status, why, (b"connection", b"close"))
        self.ended = True

    def _respond(self, status: int, body: bytes, *more: tuple[bytes, bytes]) -> None:
        self._send(h11.Response(status_code=status, headers=[*plain.headers(body), *more]))
        self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())

    def _send(self, event: h11.Event) -> None:
        self._out += self._connection.send(event) or b""
