"""The photo app's server, attacked: by requests, by websocket messages, by waiting, and by signals."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from fer_utils.errors import DataError
from fer_utils.live import frames, server
from tests.live.conftest import free_port, kernels, serve

websocket = pytest.importorskip("websocket", reason="websocket-client is not installed")
NOWHERE = "00000000-0000-0000-0000-000000000000"
CODE = {"code": "import os; os._exit(7)", "silent": False, "store_history": False, "user_expressions": {},
        "allow_stdin": False}


def ask(address, path="/", method="GET", **headers):
    """Return status, headers and text of an answer; header names are written with _ for -."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in ({"Accept": "text/html"} | headers).items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


@pytest.fixture(scope="module")
def page(photo_server):
    """A page as a raw client gets it, with its kernel."""
    status, headers, text = ask(photo_server[0])
    assert status == 200
    return headers, text, re.search(r'"kernelId": "([\w-]+)"', text)[1]


def connect(address, kernel, session="s", **options):
    options = {"subprotocols": [frames.PROTOCOL], "suppress_origin": True} | options
    return websocket.create_connection(f"ws{address.removeprefix('http')}api/kernels/{kernel}/channels"
                                       f"?session_id={session}", timeout=30, **options)


@pytest.fixture
def channel(photo_server, page):
    with contextlib.closing(connect(photo_server[0], page[2])) as channel:
        yield channel


def frame(kind, content, channel=b"shell", files=(), number="1"):
    """Return a message as Jupyter's pages send it."""
    header = {"msg_id": number, "msg_type": kind, "username": "", "session": "s", "version": "5.2", "date": "2026"}
    return packed(channel, *(json.dumps(part).encode() for part in (header, {}, {}, content)), *files)


def packed(*parts):
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return b"".join([len(offsets).to_bytes(8, "little"), *(o.to_bytes(8, "little") for o in offsets), *parts])


def hear(channel, until):
    """Return the types of the kernel's messages up to one of that type."""
    heard = []
    while until not in heard:
        heard.append(frames_type(channel.recv()))
    return heard


def frames_type(data):
    begin, stop = (int.from_bytes(data[at:at + 8], "little") for at in (16, 24))
    return json.loads(data[begin:stop])["msg_type"]


def closed_with(channel):
    """Return the code with which a server closes a websocket; what it says before is passed over."""
    while True:
        said = channel.recv_frame()
        if said.opcode == websocket.ABNF.OPCODE_CLOSE:
            return int.from_bytes(said.data[:2], "big")


REFUSED = [  # path, method, headers, status
    ("/", "GET", {"Host": "evil.example"}, 403), ("/voila/static/voila.js", "GET", {"Host": "evil.example"}, 403),
    ("/", "GET", {"Host": "127.0.0.1.evil.example:8866"}, 403), ("/", "GET", {"Host": "10.0.0.1:8866"}, 403),
    ("/", "GET", {"Origin": "http://evil.example"}, 403), ("/", "GET", {"Origin": "null"}, 403),
    ("/", "GET", {"Origin": "http://localhost:1"}, 403), ("/", "GET", {"Referer": "http://evil.example/a"}, 403),
    ("/", "GET", {"Sec_Fetch_Site": "cross-site"}, 403), ("/", "GET", {"Sec_Fetch_Site": "same-site"}, 403),
    *[("/", "GET", {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Dest": kind}, 403)
      for kind in ("image", "iframe", "script", "empty")],
    ("/", "GET", {"Accept": "image/*"}, 403), ("/", "GET", {"Sec_Purpose": "prefetch;prerender"}, 403),
    ("/?theme=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "GET", {}, 400), ("/?template=..", "GET", {}, 400),
    ("/?a", "GET", {}, 400), ("/?voila-debug=1", "GET", {}, 400),
    ("/07_photos.ipynb", "GET", {}, 404), ("/voila/files/figures/07_app.png", "GET", {}, 404),
    ("/voila/render/07_photos.ipynb", "GET", {}, 404), ("/voila/tree", "GET", {}, 404),
    ("/voila/api/contents", "GET", {}, 404), ("/voila/api/themes/x", "GET", {}, 404), ("/api/kernels", "GET", {}, 404),
    ("/api/contents", "GET", {}, 404), ("/api/terminals", "POST", {}, 404), ("/metrics", "GET", {}, 404),
    (f"/api/kernels/{NOWHERE}", "GET", {}, 404), (f"/voila/api/shutdown/{NOWHERE}", "POST", {}, 404),
    (f"/voila/api/shutdown/{NOWHERE}", "POST", {"Origin": "http://evil.example"}, 403),
    (f"/voila/api/shutdown/{NOWHERE}", "GET", {}, 405), (f"/api/kernels/{NOWHERE}", "DELETE", {}, 405),
    (f"/voila/query/{NOWHERE}", "GET", {}, 404), ("/", "POST", {}, 405), ("/", "OPTIONS", {}, 405),
    ("/voila/templates/../static/x", "GET", {}, 404), ("/voila/templates/lab/static/../../../x", "GET", {}, 404),
    ("/voila/templates/x", "GET", {}, 404), ("/voila/static/../../../../../../etc/passwd", "GET", {}, 403),
    ("/voila/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "GET", {}, 403),
    ("/voila/labextensions/../../../../etc/passwd", "GET", {}, 404), ("/voila/static//etc/passwd", "GET", {}, 403),
]


def test_requests_that_the_app_does_not_need_are_refused_and_start_nothing(photo_server):
    address, home = photo_server
    before = kernels(home)
    answers = {}
    for path, method, headers, status in REFUSED:
        got, head, text = ask(address, path, method, **headers)
        assert "alert" not in text and "Traceback" not in text and "root:" not in text
        assert "script-src 'self' blob:;" in head["Content-Security-Policy"]
        answers[path, method, str(headers)] = (got, status)
    assert {key: pair for key, pair in answers.items() if pair[0] != pair[1]} == {}
    assert kernels(home) == before
    text = ask(address, Sec_Fetch_Site="cross-site")[2]
    assert "Another website led here" in text and '<a href="/">Open the photo app</a>' in text
    for own in ({"Host": "localhost:1"}, {"Host": "[::1]:9"}, {"Referer": address}, {"Origin": address.rstrip("/")}):
        assert ask(address, "/voila/static/page.js", **own)[0] == 200


def test_the_page_holds_no_script_and_no_address_of_elsewhere(page):
    headers, text, _ = page
    assert "unsafe" not in headers["Content-Security-Policy"].replace("style-src 'self' 'unsafe-inline'", "")
    assert "connect-src 'self';" in headers["Content-Security-Policy"]
    scripts = re.findall(r"<script([^>]*)>", text)
    assert len(scripts) >= 4 and all("src=\"/voila/" in script or "json" in script for script in scripts)
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", text) and not re.search(r"<\w+[^>]* on\w+=", text)


MALFORMED = {
    "empty": b"", "short": b"\1", "words": b"hello world, this is none", "text": "hello",
    "huge count": (2**40).to_bytes(8, "little"), "largest count": b"\xff" * 64, "no offsets": (6).to_bytes(8, "little"),
    "many files": packed(b"shell", *[b"{}"] * 30), "past the end": frame("comm_msg", {})[:-1],
    "backwards": b"".join(o.to_bytes(8, "little") for o in (6, 56, 60, 58, 61, 62, 63)) + b"x" * 7,
    "no json": packed(b"shell", b"{", b"{}", b"{}", b"{}"), "a list": packed(b"shell", b"[]", b"{}", b"{}", b"{}"),
    "no id": packed(b"shell", b'{"msg_type": "comm_msg"}', b"{}", b"{}", b"{}"),
    "id is a list": packed(b"shell", b'{"msg_id": [], "msg_type": "comm_msg"}', b"{}", b"{}", b"{}"),
    "deep": packed(b"shell", b"{}", b"{}", b"{}", b"[" * 60_000), "long": frame("comm_msg", {"a": "x" * (1 << 16)}),
    "no channel": packed(b"\xff", *[b"{}"] * 4), "not utf-8": packed(b"shell", b'{"msg_id": "\xff"}', *[b"{}"] * 3),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_no_malformed_frame_is_unpacked(name):
    with pytest.raises(ValueError):
        frames.unpack(MALFORMED[name])


def test_a_whole_frame_is_unpacked():
    message = frames.unpack(frame("comm_msg", {"data": {"method": "custom"}}, files=[b"abc"]))
    assert (message.channel, message.type, message.id, message.parts[4:]) == ("shell", "comm_msg", "1", [b"abc"])
    assert frames.check_message(message) == ""


@pytest.mark.parametrize("name,code", [("largest count", 1002), ("backwards", 1002), ("text", 1002), ("claim", 1009)])
def test_a_malformed_frame_ends_its_connection_and_holds_up_nobody(photo_server, channel, name, code):
    if name == "claim":
        channel.sock.sendall(b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4))  # "a terabyte follows"
    else:
        (channel.send if name == "text" else channel.send_binary)(MALFORMED[name])
    start = time.monotonic()
    assert ask(photo_server[0], "/voila/static/page.js")[0] == 200 and time.monotonic() - start < 2
    assert closed_with(channel) == code


def test_messages_that_are_not_the_widgets_own_do_not_reach_the_kernel(channel):
    strangers = [("execute_request", CODE, b"shell"), ("execute_request", CODE, b"control"),
                 ("complete_request", {"code": "a", "cursor_pos": 1}, b"shell"),
                 ("inspect_request", {"code": "a", "cursor_pos": 1, "detail_level": 1}, b"shell"),
                 ("history_request", {"output": True, "raw": True, "hist_access_type": "tail", "n": 9}, b"shell"),
                 ("is_complete_request", {"code": "a"}, b"shell"), ("debug_request", {}, b"control"),
                 ("input_reply", {"value": "a"}, b"stdin"), ("interrupt_request", {}, b"control"),
                 ("shutdown_request", {"restart": False}, b"shell"), ("usage_request", {}, b"control"),
                 ("shutdown_request", {"restart": True}, b"control"), ("create_subshell_request", {}, b"control"),
                 ("comm_open", {"comm_id": "a", "target_name": "jupyter.widget", "data": {"state": {}}}, b"shell"),
                 ("comm_open", {"comm_id": "b", "target_name": "other", "target_module": "os", "data": {}}, b"shell"),
                 ("comm_msg", {"comm_id": "a", "data": {"method": "update", "state": {"_esm": "1"}}}, b"shell"),
                 ("comm_msg", {"comm_id": "a", "data": []}, b"shell")]
    for i, (kind, content, place) in enumerate(strangers):
        channel.send_binary(frame(kind, content, place, number=str(i)))
    channel.send_binary(frame("kernel_info_request", {}, number="end"))
    heard = hear(channel, "kernel_info_reply")
    assert heard.count("kernel_info_reply") == 1 and {"status", "kernel_info_reply"} >= set(heard)


def test_channels_need_the_protocol_their_own_page_and_a_seat(photo_server, page):
    address, kernel = photo_server[0], page[2]
    for options in ({"origin": "http://evil.example", "suppress_origin": False}, {"subprotocols": []},
                    {"session": "a/b"}, {"session": "x" * 300}, {"kernel": NOWHERE}, {"host": "evil.example"}):
        with pytest.raises(websocket.WebSocketBadStatusException):
            connect(address, options.pop("kernel", kernel), **options)
    with contextlib.ExitStack() as stack:
        for i in range(server.MAX_CHANNELS):
            stack.enter_context(contextlib.closing(connect(address, kernel, session=f"s{i}")))
        with pytest.raises(websocket.WebSocketBadStatusException, match="429"):
            connect(address, kernel, session="more")


def test_a_page_that_does_not_wait_for_its_kernel_is_cut_off(photo_server, channel):
    content, (kernel,) = {"comm_id": "none", "data": {"method": "custom"}}, kernels(photo_server[1])
    channel.send_binary(frame("kernel_info_request", {}))
    hear(channel, "kernel_info_reply")
    os.kill(kernel, signal.SIGSTOP)  # so it looks busy
    try:
        for i in range(12):
            channel.send_binary(frame("comm_msg", content, files=[bytes(1 << 20)], number=str(i)))
        assert closed_with(channel) == 1008
    finally:
        os.kill(kernel, signal.SIGCONT)


def test_a_full_app_says_so_and_kernels_without_a_page_end_soon(photo_server, page):
    address, home = photo_server
    with contextlib.closing(connect(address, page[2])):
        netloc = urlsplit(address)
        with socket.create_connection((netloc.hostname, netloc.port)) as caller:  # goes away while its page loads
            caller.sendall(f"GET / HTTP/1.1\r\nHost: {netloc.netloc}\r\nAccept: text/html\r\n\r\n".encode())
            assert caller.recv(12) == b"HTTP/1.1 200"
        status, _, text = ask(address)
        assert status == 503 and "The photo app is full" in text and "try again" in text
        assert len(kernels(home)) == 2
        wait(lambda: len(kernels(home)) == 1, "a kernel whose page went away goes on")
    wait(lambda: not kernels(home), "a kernel goes on after its page was killed")
    wait(lambda: ask(address, f"/api/kernels/{page[2]}")[0] == 404, "its page would not learn of it")


def wait(condition, otherwise, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, otherwise
        time.sleep(0.1)


def test_a_hung_up_app_ends_its_kernels_and_the_next_one_clears_up(tmp_path):
    port = free_port()
    process = serve([sys.executable, "-m", "fer_utils", "app", "--no-browser", f"--port={port}"], port, tmp_path)
    try:
        with pytest.raises(DataError, match=f"port {port}: another program has that port; choose .* with --port"):
            server.serve(port=port, browser=False)
        assert ask(f"http://127.0.0.1:{port}/")[0] == 200
        assert len(kernels(tmp_path)) == 1
        os.kill(process.pid, signal.SIGHUP)  # to it alone, as a closed terminal does
        assert process.wait(20) == 0 and "has ended" in (tmp_path / "log").read_text()
        assert not kernels(tmp_path) and not list((tmp_path / "tmp").glob("fer-app-*"))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_the_folder_of_a_killed_server_goes_at_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setattr(server.tempfile, "gettempdir", lambda: str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f"fer-app-{dead.pid}-abc", f"fer-app-{os.getpid()}-abc", "fer-app-x-abc"):
        (tmp_path / name).mkdir()
    server.remove_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"fer-app-{os.getpid()}-abc", "fer-app-x-abc"]


@pytest.mark.parametrize("host,port,words", [("127.0.0.1", 99999, "port 99999"), ("203.0.113.9", 0, "--host or")])
def test_an_address_that_is_not_here_is_an_error(host, port, words):
    with pytest.raises(DataError, match=words):
        server.serve(host, port, browser=False)


def test_the_app_without_its_notebook_says_where_to_start_it(tmp_path, monkeypatch):
    monkeypatch.setattr(server.paths, "NOTEBOOKS", tmp_path)
    with pytest.raises(DataError, match="07_photos.ipynb: not there; run this in the project's folder"):
        server.serve()
