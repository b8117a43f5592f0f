"""One HTTP/2 connection with prior knowledge (RFC 9113, section 3.3): bytes in, bytes out, no socket."""

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

import call
import greeter
import plain

# A text with the prefixes of gRPC and protobuf.
LONGEST_BODY = call.LONGEST_TEXT + 16

Headers = list[tuple[bytes, bytes]]


class Http2:
    def __init__(self) -> None:
        # Names and values stay bytes.
        self._connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._connection.initiate_connection()
        # By stream: requests not yet complete, and what of the responses the peer has no room for yet.
        self._requests: dict[int, tuple[dict[bytes, bytes], bytearray]] = {}
        self._unsent: dict[int, tuple[bytes, Headers]] = {}
        self.ended = False

    def receive(self, data: bytes) -> None:
        try:
            events = self._connection.receive_data(data)
        except ProtocolError:
            # What is to be sent now says goodbye.
            self.ended = True
            return
        for event in events:
            try:
                self._handle(event)
            except ProtocolError:
                # The stream was reset by an event behind this one.
                self._forget(event.stream_id)
        self._flush()

    def take(self) -> bytes:
        """What is to be sent."""
        return self._connection.data_to_send()

    def _handle(self, event: object) -> None:
        if isinstance(event, RequestReceived):
            self._requests[event.stream_id] = (dict(event.headers), bytearray())
        elif isinstance(event, DataReceived):
            self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id in self._requests:
                body = self._requests[event.stream_id][1]
                body += event.data
                if len(body) > LONGEST_BODY:
                    self._forget(event.stream_id)
                    self._connection.reset_stream(event.stream_id, ErrorCodes.ENHANCE_YOUR_CALM)
        elif isinstance(event, StreamEnded):
            if event.stream_id in self._requests:
                headers, body = self._requests.pop(event.stream_id)
                self._respond(event.stream_id, headers, bytes(body))
        elif isinstance(event, StreamReset):
            self._forget(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            self.ended = True

    def _respond(self, stream: int, request: dict[bytes, bytes], body: bytes) -> None:
        if request.get(b"content-type", b"").startswith(b"application/grpc"):
            status, reply = greeter.say_hello(request[b":path"], body)
            head = [(b":status", b"200"), (b"content-type", b"application/grpc")]
            trailers = [(b"grpc-status", b"%d" % status)]
            if status != greeter.OK:
                # Of headers only: gRPC over HTTP/2, "Trailers-Only".
                trailers.append((b"grpc-message", reply))
                self._connection.send_headers(stream, head + trailers, end_stream=True)
                return
        else:
            status, reply = plain.answer(request[b":method"], body)
            head = [(b":status", b"%d" % status), *plain.headers(reply)]
            trailers = []
        self._connection.send_headers(stream, head)
        self._unsent[stream] = (reply, trailers)

    def _flush(self) -> None:
        """Sends what the peer's windows have room for."""
        for stream in list(self._unsent):
            body, trailers = self._unsent.pop(stream)
            try:
                rest = self._send(stream, body, trailers)
            except ProtocolError:
                continue  # the stream was reset
            if rest:
                self._unsent[stream] = (rest, trailers)

    def _send(self, stream: int, body: bytes, trailers: Headers) -> bytes:
        """Returns what there was no room for."""
        while body:
            room = min(
                self._connection.local_flow_control_window(stream),
                self._connection.max_outbound_frame_size,
            )
            if room <= 0:
                return body
            part, body = body[:room], body[room:]
            self._connection.send_data(stream, part, end_stream=not body and not trailers)
        if trailers:
            self._connection.send_headers(stream, trailers, end_stream=True)
        return b""

    def _forget(self, stream: int) -> None:
        self._requests.pop(stream, None)
        self._unsent.pop(stream, None)
