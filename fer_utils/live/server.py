"""The server of the photo app: Voilà's, behind a gate that lets through what the app needs and nothing else.

Voilà is made to show notebooks to people who are welcome. Here any page of the web, any name that somebody's DNS gives
this computer, and any visitor may ask. So each request is checked before Voilà sees it, each message before the kernel
does, and the number and the life of kernels are bounded (`frames` checks the messages).
"""
import errno
import html
import ipaddress
import os
import re
import shutil
import signal
import socket
import tempfile
import time
import webbrowser
from collections import Counter
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.client import responses
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.handlers import KernelHandler
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import HTTPError, RequestHandler, authenticated
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.static_file_handler import AllowListFileHandler, TemplateStaticFileHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from .. import paths
from ..errors import DataError
from .frames import MAX_FRAME, PROTOCOL, answered, check_message, unpack

PAGE_FILES = Path(__file__).parent / "static"
MAX_VISITORS = 8  # kernels at a time, each with about 0.45 GB
MAX_CHANNELS = 3  # connections to one kernel: a page has one, and a second one while it finds the first one broken
MAX_WAITING = 8 << 20  # bytes of messages that a kernel has not yet answered; a page sends 1 MB and waits
MAX_UNREAD = 256 << 20  # bytes of answers that a page has not yet read
# In seconds: how long a kernel may be without a page, with a page that is not used, and busy without a word; how often
# that is looked at; how long a page may take to load.
ALONE, IDLE, BUSY, TICK, LOADING = 60, 1800, 180, 5, 300
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LEFTOVER = "fer-app-"  # the folder of the kernels' keys begins so, then comes the server's process

# Scripts come from files of this server alone; none is written into the page. 'unsafe-eval' is for JupyterLab, whose
# check of settings (ajv) compiles each schema by `new Function`, and blob: for anywidget, which imports a widget's code
# from one. 'self' includes websockets of this very server.
POLICY = "; ".join([
    "default-src 'none'", "script-src 'self' blob:", "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:", "font-src 'self' data:", "media-src 'self' blob:", "connect-src 'self'",
    "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"])
HEADERS = {
    "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()"}

REFUSAL = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<body style="font-family: sans-serif; max-width: 34em; margin: 4em auto; padding: 0 1em">
<h1>{title}</h1><p>{text}</p><p><a href="{home}">Open the photo app</a></p></body></html>"""
TITLES = {503: "The photo app is full"}
FULL = "As many people use it as this computer has room for. Please try again in a few minutes."
FROM_ELSEWHERE = "Another website led here. To be sure that you want this page, open it yourself:"


class Gate(RequestHandler):
    """What is checked of each request, before any handler of Voilà."""

    parameters = r"v"  # a pattern of the names that the query may have

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> Awaitable[None] | None:
        server: PhotoServer = self.settings["voila"]
        headers = self.request.headers
        if not server.is_known(headers.get("Host", "")):
            raise HTTPError(403, reason="Unknown Host")
        origin = headers.get("Origin")
        if origin is not None and not server.is_own(origin, headers["Host"]):
            raise HTTPError(403, reason="Foreign Origin")
        site = headers.get("Sec-Fetch-Site")
        if site is None and "Referer" in headers:  # a browser that does not say (old, or a page without https)
            site = "none" if server.is_own(headers["Referer"], headers["Host"]) else "cross-site"
        if site not in (None, "none", "same-origin"):
            raise HTTPError(403, reason="Foreign Site")
        if not all(re.fullmatch(self.parameters, name) for name in self.request.query_arguments):
            raise HTTPError(400, reason="Unknown Parameter")
        return super().prepare()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a page that says nothing of the request."""
        title = TITLES.get(status_code, f"{status_code}: {responses.get(status_code, 'Error')}")
        text = {"Foreign Site": FROM_ELSEWHERE, "Full": FULL}.get(self._reason, "The photo app has no such page.")
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        self.write(REFUSAL.format(title=html.escape(title), text=text, home=self.settings["voila"].base_url))
        RequestHandler.finish(self)

    def log_exception(self, *error: Any) -> None:
        if not isinstance(error[1], (HTTPError, StreamClosedError)):  # the access log has those
            super().log_exception(*error)


class NoSuchPage(Gate):
    """Answers where no handler is."""

    def prepare(self) -> None:
        raise HTTPError(404)


class Page(Gate, TornadoVoilaHandler):
    """The app's page. Each load starts a kernel, so only a person's own visit may be one."""

    parameters = r"token"
    SUPPORTED_METHODS = ("GET",)
    _gone = False

    def on_connection_close(self) -> None:
        self._gone = True
        super().on_connection_close()

    def prepare(self) -> Awaitable[None] | None:
        headers = self.request.headers
        document = headers.get("Sec-Fetch-Dest", "document") == "document" and "text/html" in headers.get("Accept", "")
        if not document or "prefetch" in headers.get("Sec-Purpose", headers.get("Purpose", "")):
            raise HTTPError(403, reason="No Document")
        return super().prepare()

    @authenticated
    async def get(self, path: str | None = None) -> None:
        until = time.monotonic() + LOADING
        async for text in self.get_generator():  # where the notebook fails, Voilà would send signs of life for ever
            self.write(text)
            with suppress(StreamClosedError):
                await self.flush()
            if time.monotonic() > until or self._gone:
                return


class Channel(Gate, VoilaKernelWebsocketHandler):
    """The websocket between a page and its kernel."""

    parameters = r"session_id|token"
    connected: Counter[str] = Counter()  # for each kernel

    def set_default_headers(self) -> None:
        pass  # this is no page

    async def get(self, kernel_id: str) -> None:
        if PROTOCOL not in re.split(r"\s*,\s*", self.request.headers.get("Sec-WebSocket-Protocol", "")):
            raise HTTPError(400)
        if not re.fullmatch(r"[\w-]{1,64}", self.get_argument("session_id", "")):
            raise HTTPError(400)
        if self.connected[kernel_id] >= MAX_CHANNELS:
            raise HTTPError(429)
        self.connected[kernel_id] += 1
        try:
            await super().get(kernel_id)  # type: ignore[misc]  # until it is closed
        finally:
            self.connected[kernel_id] -= 1
            self.connected += Counter()  # forget the zeros

    async def open(self, kernel_id: str) -> None:
        self.ws_connection.stream.max_write_buffer_size = MAX_UNREAD
        await super().open(kernel_id)


class Connection(ZMQChannelsWebsocketConnection):
    """Passes on a page's messages that the app's widget sends, and no others."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._waiting: dict[str, int] = {}  # the bytes of each message that the kernel has not yet dealt with
        self._warned = self._ended = False

    def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
        if self._ended or not self.channels:
            return
        try:
            message = unpack(incoming_msg)
        except ValueError as error:
            self._end(1002, f"its message is not one of Jupyter's: {error}")
            return
        refusal = check_message(message)
        if refusal:
            if not self._warned:
                self.log.warning("Messages that the app's page does not send are ignored: %s", refusal)
            self._warned = True
            return
        self._waiting[message.id] = len(incoming_msg) + 1024
        if sum(self._waiting.values()) > MAX_WAITING:
            self._end(1008, "it does not wait for its kernel")
        else:
            self.session.send_raw(self.channels["shell"], message.parts)

    def _end(self, code: int, why: str) -> None:
        self.log.warning("A page's connection is ended: %s", why)
        self._ended = True
        self.websocket_handler.close(code)

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        self._waiting.pop(answered(self.session.feed_identities(outgoing_msg)[1]) or "", None)
        super().handle_outgoing_message(stream, outgoing_msg)


class Kernels(AsyncMappingKernelManager):
    """The visitors' kernels: not too many, and none that nobody uses."""

    max_kernels = MAX_VISITORS
    _starting = 0

    async def start_kernel(self, **kwargs: Any) -> str:  # type: ignore[override]
        if len(self) + self._starting >= self.max_kernels:
            await self.cull_kernels()
        if len(self) + self._starting >= self.max_kernels:
            raise HTTPError(503, reason="Full")
        self._starting += 1
        try:
            return await super().start_kernel(**kwargs)
        finally:
            self._starting -= 1

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """End a kernel that has died, has no page, or whose page is not used; one whose work does not end, too."""
        kernel = self._kernels.get(kernel_id)
        if kernel is None or not hasattr(kernel, "last_activity"):  # it starts
            return
        connected = self._kernel_connections.get(kernel_id, 0)
        limit = BUSY if kernel.execution_state in ("busy", "starting") else IDLE if connected else ALONE
        idle = datetime.now(UTC) - kernel.last_activity
        if idle > timedelta(seconds=limit) or not await kernel.is_alive():
            self.log.info("Ending a kernel: %s", f"not used for {idle.seconds} s" if idle else "it died")
            await self.shutdown_kernel(kernel_id, now=True)

    def notify_disconnect(self, kernel_id: str) -> None:
        super().notify_disconnect(kernel_id)
        if kernel_id in self._kernels:
            self._kernels[kernel_id].last_activity = datetime.now(UTC)  # its page has a while to come back

    async def shutdown_kernel(self, kernel_id: str, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        await super().shutdown_kernel(kernel_id, *args, **kwargs)
        for key, handler in list(ZMQChannelsWebsocketConnection._open_sessions.items()):
            if key.startswith(kernel_id):
                handler.close(1001)


class PhotoServer(Voila):
    """Serves one notebook as a page, to its own address only."""

    public_names: Sequence[str] = ()  # under which a proxy serves it
    sockets: Sequence[socket.socket] = ()  # where it listens

    def is_known(self, host: str) -> bool:
        """Return whether a request's Host names this server; a name of somebody's own DNS could be led here."""
        with suppress(ValueError):
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            address = ipaddress.ip_address(name)  # raises for a name; an address cannot be led elsewhere
            return address.is_loopback or not ipaddress.ip_address(self.ip or "0.0.0.0").is_loopback
        return False

    def is_own(self, address: str, host: str) -> bool:
        """Return whether a page's address is of this server, as asked for by `host` or named by a proxy."""
        with suppress(ValueError):
            parts = urlsplit(address)
            return parts.scheme in ("http", "https") and (
                parts.netloc.lower() == host.lower() or parts.hostname in self.public_names)
        return False

    def initialize(self, argv: list[str] | None = None) -> None:
        super().initialize(argv)
        self._names: set[str] = {"localhost", *self.public_names}
        if self.ip not in LOOPBACK:
            self._names |= {name.lower() for name in (self.ip, socket.gethostname(), socket.getfqdn()) if name}

    def setup_template_dirs(self) -> None:
        super().setup_template_dirs()
        self.template_paths: list[str] = [str(PAGE_FILES), *self.template_paths]
        self.static_paths: list[str] = [str(PAGE_FILES), *self.static_paths]

    def init_settings(self) -> dict[str, Any]:
        return super().init_settings() | {
            "default_handler_class": NoSuchPage, "headers": HEADERS, "disable_check_xsrf": True,  # the gate does
            "websocket_max_message_size": MAX_FRAME, "ws_ping_interval": 20_000, "ws_ping_timeout": 20_000}

    def init_handlers(self) -> list[Any]:
        """Return Voilà's handlers behind the gate, without those for files and for themes."""
        gated: dict[type, Any] = {
            TornadoVoilaHandler: Page, VoilaKernelWebsocketHandler: Channel,
            KernelHandler: _gated(KernelHandler, r"\d+", "GET"),
            VoilaShutdownKernelHandler: _gated(VoilaShutdownKernelHandler, r"token", "POST")}
        handlers = []
        for pattern, handler, *rest in super().init_handlers():
            if issubclass(handler, AllowListFileHandler) or "/api/themes" in pattern:
                continue
            if handler is TornadoVoilaHandler:
                pattern = pattern.removesuffix("(.*)")
            if handler is TemplateStaticFileHandler:  # of other templates' names, ".." among them, Voilà makes paths
                pattern = pattern.replace("(.*)", r"(lab/static/[\w.-]+)")
            login = pattern.endswith(("/login", "/logout"))
            new = gated.get(handler) or _gated(handler, r"v|next|token" if login else r"v", "GET", "HEAD",
                                               *["POST"] * login)
            handlers.append((pattern, new, *rest))
        return handlers

    def start(self) -> None:
        remove_leftovers()
        self.connection_dir_root = tempfile.mkdtemp(prefix=f"{LEFTOVER}{os.getpid()}-")
        super().start()

    def listen(self) -> None:
        """Serve until a signal comes."""
        server = HTTPServer(self.app, max_body_size=1 << 16, max_header_size=1 << 14, body_timeout=10,
                            idle_connection_timeout=60)
        server.add_sockets(self.sockets)
        self.ioloop = IOLoop.current()
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:  # nohup
                signal.signal(getattr(signal, name), self._handle_signal_stop)
        self.log.info("The photo app is at %s", self.display_url)
        if self.open_browser:
            webbrowser.open(self.connection_url)
        try:
            self.ioloop.start()
        finally:
            server.stop()
            self.stop()

    def stop(self) -> None:
        try:
            self.ioloop.run_sync(lambda: self.kernel_manager._async_shutdown_all(now=True))
        finally:
            shutil.rmtree(self.connection_dir_root, ignore_errors=True)


def _gated(handler: type, parameters: str, *methods: str) -> type:
    return type(f"Gated{handler.__name__}", (Gate, handler), {"parameters": parameters, "SUPPORTED_METHODS": methods})


def listen_at(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen there; raise `DataError` where that cannot be: never take another port instead."""
    if not 0 <= port < 1 << 16:  # the system would take it for another one
        raise DataError(f"port {port}: ports go from 0 to 65535; choose another one with --port")
    try:
        return bind_sockets(port, host)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "another program has that port" if taken else error.strerror or str(error)
        raise DataError(f"{host}, port {port}: {why}; choose another one with "
                        f"{'--port' if taken else '--host or --port'}") from error


def remove_leftovers() -> None:
    """Remove the folders of servers that were killed."""
    if os.name == "nt":  # Windows cannot be asked which processes live
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{LEFTOVER}*-*"):
        try:
            os.kill(int(folder.name.removeprefix(LEFTOVER).split("-")[0]), 0)  # asks only
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OverflowError, PermissionError):  # not named by us, or another user's
            pass


def serve(host: str = "127.0.0.1", port: int = 8866, browser: bool = True, names: Sequence[str] = (),
          visitors: int = MAX_VISITORS) -> None:
    """Serve the photo app, notebook 07, until a signal ends this process.

    A `host` to listen on other than this computer also asks visitors for a token, which is printed. `names` are those
    under which a proxy serves it to others. Raises `DataError` where the notebook is not here or the port is taken.
    """
    notebook = paths.NOTEBOOKS / "07_photos.ipynb"
    if not notebook.is_file():
        raise DataError(f"{notebook}: not there; run this in the project's folder, or name that in FER_ROOT")
    sockets = listen_at(host, port)
    server = PhotoServer(ip=host, port=sockets[0].getsockname()[1], open_browser=browser,
                         config_file_paths=[str(PAGE_FILES)], auto_token=host not in LOOPBACK)
    server.sockets, server.public_names = sockets, [name.lower() for name in names]
    Kernels.max_kernels = visitors
    server.initialize([str(notebook), f"--MappingKernelManager.cull_idle_timeout={ALONE}",
                       f"--MappingKernelManager.cull_interval={TICK}"])
    server.start()
