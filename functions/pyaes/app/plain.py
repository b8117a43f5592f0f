"""Plain HTTP, whatever its version: GET encrypts a default, POST its body."""

import aes


def answer(method: bytes, body: bytes) -> tuple[int, bytes]:
    """Returns a status and a body."""
    if method == b"GET":
        body = b"world"
    elif method != b"POST":
        return 405, b"GET or POST, please\n"
    return 200, aes.encrypt(body).encode() + b"\n"


def headers(body: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
