"""Rotates a photograph-sized JPEG by an angle that the text chooses."""

from io import BytesIO
from pathlib import Path
from zlib import crc32

from PIL import Image

NAME = "image_rotate"

# Else Pillow would import its plugins with the first request.
Image.preinit()

PICTURE = Path(__file__).with_name("picture.jpg")


def handle(text: bytes) -> str:
    degrees = 1 + crc32(text) % 359
    with Image.open(PICTURE) as picture:
        turned = picture.rotate(degrees, resample=Image.Resampling.BILINEAR, expand=True)
    out = BytesIO()
    turned.save(out, "JPEG")
    return f"{degrees} degrees {turned.width}x{turned.height} {crc32(out.getvalue()):08x}"
