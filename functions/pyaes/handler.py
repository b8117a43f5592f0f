"""Encrypts the text with AES in counter mode, in Python alone, so that it costs processor time."""

from pyaes import AESModeOfOperationCTR

NAME = "pyaes"

# A benchmark has no secrets: the key of the examples in FIPS-197, Appendix C.1.
KEY = bytes(range(16))


def handle(text: bytes) -> str:
    # A fresh counter each time: the same text gives the same answer.
    return AESModeOfOperationCTR(KEY).encrypt(text).hex()
