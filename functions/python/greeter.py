"""gRPC's `helloworld.Greeter/SayHello`: one message in, one out, each with one string as its field 1."""

import call

SAY_HELLO = b"/helloworld.Greeter/SayHello"
PREFIX_BYTES = 5

# Status codes of gRPC.
OK = 0
INVALID_ARGUMENT = 3
UNIMPLEMENTED = 12
INTERNAL = 13


def say_hello(path: bytes, body: bytes) -> tuple[int, bytes]:
    """Returns a status, with the framed reply if it is OK, else with what is wrong."""
    if path != SAY_HELLO:
        return UNIMPLEMENTED, b"only helloworld.Greeter/SayHello is served here"
    try:
        name = string_field(unframed(body))
    except (ValueError, IndexError):
        return INVALID_ARGUMENT, b"not one uncompressed HelloRequest"
    try:
        return OK, framed(call.answer(name).encode())
    except call.Failed as error:
        return INTERNAL, str(error).encode()


def unframed(body: bytes) -> bytes:
    """Takes off the prefix of gRPC over HTTP/2: a flag for compression, and the length."""
    message = body[PREFIX_BYTES:]
    if body[0] != 0 or int.from_bytes(body[1:PREFIX_BYTES], "big") != len(message):
        raise ValueError(body[:PREFIX_BYTES])
    return message


def framed(text: bytes) -> bytes:
    message = b"\x0a" + varint(len(text)) + text
    return b"\0" + len(message).to_bytes(4, "big") + message


def string_field(message: bytes) -> bytes:
    """Field 1 of a message; unknown fields are passed over (protobuf encoding, "Message Structure")."""
    value, at = b"", 0
    while at < len(message):
        tag, at = read_varint(message, at)
        match tag & 7:
            case 0:
                _, at = read_varint(message, at)
                continue
            case 1:
                size = 8
            case 2:
                size, at = read_varint(message, at)
            case 5:
                size = 4
            case _:
                raise ValueError(tag)
        if at + size > len(message):
            raise ValueError(size)
        if tag == 0x0A:
            value = message[at : at + size]
        at += size
    return value


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
