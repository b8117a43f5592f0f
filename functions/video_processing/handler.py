"""Reads a video, finds the edges in each frame, signs it with the text, and writes a new video."""

import os
from pathlib import Path
from tempfile import gettempdir
from zlib import crc32

import cv2

NAME = "video_processing"

VIDEO = str(Path(__file__).with_name("video.mp4"))
OUT = os.path.join(gettempdir(), f"edges-{os.getpid()}.mp4")
FRAMES_PER_SECOND = 25
LONGEST_SIGNATURE = 32

# One virtual CPU gains nothing from threads.
cv2.setNumThreads(0)


def handle(text: bytes) -> str:
    signature = text.decode(errors="replace")[:LONGEST_SIGNATURE]
    video = cv2.VideoCapture(VIDEO, cv2.CAP_FFMPEG)
    size = (int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    out = cv2.VideoWriter(OUT, cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), FRAMES_PER_SECOND, size, False)
    frames = edges = check = 0
    while (read := video.read())[0]:
        grey = cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY)
        found = cv2.Canny(cv2.GaussianBlur(grey, (5, 5), 0), 40, 120)
        edges += cv2.countNonZero(found)
        cv2.putText(found, signature, (8, size[1] - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255)
        out.write(found)
        check = crc32(found, check)
        frames += 1
    out.release()
    video.release()
    os.remove(OUT)
    return f"{frames} frames {edges} edge pixels {check:08x}"
