"""One call of the function, whatever protocol it came by."""

import sys
import traceback
from time import perf_counter_ns

import handler

LONGEST_TEXT = 64 * 1024
# A sample has one, and its answers begin with it. What a function without one returns is the answer.
NAME = getattr(handler, "NAME", "")


class Failed(Exception):
    """The function could not do its work. The log says why: that is not for the caller."""


def answer(text: bytes) -> str:
    """Calls the function. A sample's answer says in its last word how many microseconds that took, for load generators to read."""
    started = perf_counter_ns()
    try:
        result = handler.handle(text)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        raise Failed(f"{NAME or 'the function'} failed; its log says why") from None
    if not NAME:
        return result
    micros = (perf_counter_ns() - started) // 1000
    return f"{NAME} {result} {micros}"
