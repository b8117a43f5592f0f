"""The work: AES in counter mode, in Python alone, so that it costs processor time."""

from time import perf_counter_ns

from pyaes import AESModeOfOperationCTR

# A benchmark has no secrets: the key of the examples in FIPS-197, Appendix C.1.
KEY = bytes(range(16))

LONGEST_TEXT = 64 * 1024


def encrypt(text: bytes) -> str:
    """Encrypts, and says in the last word how many microseconds that took, for load generators to read."""
    started = perf_counter_ns()
    # A fresh counter each time: the same text gives the same answer.
    secret = AESModeOfOperationCTR(KEY).encrypt(text)
    micros = (perf_counter_ns() - started) // 1000
    return f"pyaes {secret.hex()} {micros}"
