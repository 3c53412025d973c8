"""Photos and videos with known people, and a camera that shows one, for the tests of events."""

import functools
import http.server
import os
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image

from fer_utils.event.collect import collect_event

MODEL = Path(__file__).resolve().parents[2] / "models" / "fer_net"
PORTRAIT = get_sample_data("grace_hopper.jpg", asfileobj=False)
needs_model = pytest.mark.skipif(not (MODEL / "model.onnx").is_file(), reason="no models/fer_net/model.onnx here")


@functools.cache
def portrait(side=400):
    image = np.asarray(Image.open(PORTRAIT).convert("RGB"))[:, 60:460]
    return cv2.resize(image, (side, side * image.shape[0] // image.shape[1]), interpolation=cv2.INTER_AREA)


def photo(path, taken="2024:06:01 18:30:00", people=1):
    """Write the portrait, side by side as often as there are people, on gray."""
    image = Image.fromarray(np.hstack([portrait(300)] * people) if people else np.full((200, 300, 3), 128, np.uint8))
    exif = image.getexif()
    if taken:
        exif.get_ifd(0x8769)[36867] = taken
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)
    return path


def video(path, frames=45, rate=15, step=12, away=()):
    """Write a person who walks past: the portrait crosses the picture by `step` pixels a frame."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (640, 360))
    person = cv2.cvtColor(portrait(200), cv2.COLOR_RGB2BGR)
    for i in range(frames):
        picture = np.full((360, 640, 3), 110, np.uint8)
        left = min(i * step, 640 - person.shape[1])
        if i not in away:
            picture[40:40 + person.shape[0], left:left + person.shape[1]] = person
        writer.write(picture)
    writer.release()
    return path


def collect(sources, out, **options):
    return collect_event(sources, out, MODEL, detector="haar", progress=False, **options)


class PortraitCamera:
    """A camera that shows the portrait, for ever or for so many frames, as `cv2.VideoCapture` would."""

    frames = 10**9

    def __init__(self, source, *options):
        self.picture = cv2.cvtColor(portrait(), cv2.COLOR_RGB2BGR)

    def isOpened(self):  # noqa: N802
        return True

    def read(self):
        time.sleep(0.02)
        self.frames -= 1
        # Cameras drop a frame now and then; that is not their end.
        return (True, self.picture) if self.frames > 0 and self.frames % 5 else (False, None)

    def set(self, what, value):
        pass

    def get(self, what):
        return 0.0

    def release(self):
        pass


class WebServer(http.server.SimpleHTTPRequestHandler):
    """Serve files, but those of names in `broken` by halves; ask for `password`, an Authorization, where it is set."""

    broken: set[str] = set()
    password = ""

    def do_GET(self):  # noqa: N802
        if self.password and self.headers.get("Authorization") != self.password:
            self.send_error(401)
        elif os.path.basename(self.path) in self.broken:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"\xff\xd8\xff" * 100)
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    """Give the address of a web server that lists and sends the files of a folder."""
    WebServer.broken, WebServer.password = set(), ""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(WebServer, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
