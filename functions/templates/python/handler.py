"""What the function does. The server that is put beside it answers gRPC helloworld.Greeter/SayHello, and HTTP, on one port.

What is imported or read here is in memory before the first call, and in the function's snapshot.
"""


def handle(text: bytes) -> str:
    """One call: the name of a SayHello, or the body of a POST; b"world" for a GET. An exception answers with an error."""
    return f"Hello, {text.decode(errors='replace')}! This is Python."
