"""Plain HTTP, whatever its version: GET calls with a default, POST with its body."""

import call


def answer(method: bytes, body: bytes) -> tuple[int, bytes]:
    """Returns a status and a body."""
    if method == b"GET":
        body = b"world"
    elif method != b"POST":
        return 405, b"GET or POST, please\n"
    try:
        return 200, call.answer(body).encode() + b"\n"
    except call.Failed as error:
        return 500, str(error).encode() + b"\n"


def headers(body: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
