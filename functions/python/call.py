"""One call of the function, whatever protocol it came by."""

import sys
import traceback
from time import perf_counter_ns

import handler

LONGEST_TEXT = 64 * 1024


class Failed(Exception):
    """The function could not do its work. The log says why: that is not for the caller."""


def answer(text: bytes) -> str:
    """Calls the function, and says in the last word how many microseconds that took, for load generators to read."""
    started = perf_counter_ns()
    try:
        result = handler.handle(text)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        raise Failed(f"{handler.NAME} failed; its log says why") from None
    micros = (perf_counter_ns() - started) // 1000
    return f"{handler.NAME} {result} {micros}"
