"""Makes the picture that the function rotates: a piece of the Mandelbrot set for each colour."""

import sys
from pathlib import Path

from PIL import Image

SIZE = (1024, 768)

bands = [Image.effect_mandelbrot(SIZE, extent, 100) for extent in [(-2, -1.2, 1, 1.2), (-1.6, -1, 0.6, 1), (-1, -1, 0, 0)]]
Image.merge("RGB", bands).save(Path(sys.argv[1]) / "picture.jpg", "JPEG", quality=90)
