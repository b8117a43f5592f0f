"""Makes the video that the function reads: two seconds of a disc and a square that cross a shaded ground."""

import sys
from pathlib import Path

import cv2
import numpy

WIDTH, HEIGHT = 320, 240
FRAMES = 50

path = str(Path(sys.argv[1]) / "video.mp4")
out = cv2.VideoWriter(path, cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), 25, (WIDTH, HEIGHT))
if not out.isOpened():
    sys.exit(f"{path} cannot be written")
ground = numpy.zeros((HEIGHT, WIDTH, 3), numpy.uint8)
ground[:, :, 0] = numpy.linspace(20, 120, WIDTH, dtype=numpy.uint8)
ground[:, :, 1] = numpy.linspace(120, 20, HEIGHT, dtype=numpy.uint8)[:, None]
for number in range(FRAMES):
    frame = ground.copy()
    cv2.circle(frame, (20 + number * 5, 60 + number * 2), 28, (40, 200, 240), -1)
    cv2.rectangle(frame, (250 - number * 4, 150), (300 - number * 4, 200), (230, 90, 60), -1)
    out.write(frame)
out.release()
