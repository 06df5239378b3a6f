"""moto's services behind HTTP in this process, one request at a time.

moto is not safe under concurrency: of concurrent transactions 5 to 12 % were answered with 500, and
an update was lost. Behind a lock its transactions are as atomic as DynamoDB's. A long poll of SQS
would hold that lock for up to 20 s, so it is cut into short ones that wait outside of it.
"""

import errno
import io
import json
import logging
import socket
import threading
import warnings
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from workflow_engine.local.errors import InvalidOptionError, shortened

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from werkzeug.serving import BaseWSGIServer

LOOPBACK = "127.0.0.1"
POLL_EVERY = timedelta(milliseconds=50)
SHUTDOWN_HEARD_WITHIN_SECONDS = 0.05
BACKLOG = 128
_LOOPBACK_OF = {"0.0.0.0": LOOPBACK, "::": "::1"}
_RECEIVE = "AmazonSQS.ReceiveMessage"
# Reads by which nothing of the state to be saved changes: by the operation of X-Amz-Target.
_READS = ("Get", "BatchGet", "Query", "Scan", "List", "Describe", "ReceiveMessage")

Answer: TypeAlias = tuple[str, list[tuple[str, str]], list[bytes]]


class SerialApplication:
    """Passes requests to *application* one after another; counts those that may change something."""

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self.changes = 0

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        if environ.get("HTTP_X_AMZ_TARGET") == _RECEIVE:
            status, headers, body = self._poll(environ)
        else:
            self.changes += _may_change(environ)
            status, headers, body = self._answer(environ)
        start_response(status, headers)
        return body

    def _answer(self, environ: "WSGIEnvironment") -> Answer:
        head: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[..., Any]:
            head[:] = [status, headers]
            return lambda _: None

        with self._lock:
            body = list(self._application(environ, start_response))
        return head[0], head[1], body

    def _poll(self, environ: "WSGIEnvironment") -> Answer:
        """Ask without waiting until there is a message or the time is over."""
        request = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        # Without a wait of its own a request takes the queue's: 20 s, as the template has it.
        waits = max(int(float(request.pop("WaitTimeSeconds", 0)) / POLL_EVERY.total_seconds()), 0)
        body = json.dumps({**request, "WaitTimeSeconds": 0}).encode()
        while True:
            again = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
            answer = self._answer(again)
            if waits == 0 or _has_messages(answer) or self.closing.wait(POLL_EVERY.total_seconds()):
                return answer
            waits -= 1


class MotoServer:
    """Serves while it is entered. *port* 0 takes a free one."""

    def __init__(self, host: str = LOOPBACK, port: int = 0) -> None:
        self._host, self._port = host, port
        self._server: BaseWSGIServer | None = None
        self._application: SerialApplication | None = None

    @property
    def url(self) -> str:
        """Where it listens; on all addresses it is named by the loopback one."""
        if self._server is None:
            raise RuntimeError("the server is not running")
        # By its number: the SDK puts the name of a bucket before the name of a host.
        address = str(self._server.server_address[0])
        host = _LOOPBACK_OF.get(address, address)
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.port}"

    @property
    def changes(self) -> int:
        """How many requests came so far that may have changed something."""
        return self._application.changes if self._application else 0

    def __enter__(self) -> "MotoServer":
        with warnings.catch_warnings():
            # moto's dependencies warn of each other; nothing here can mend them.
            warnings.simplefilter("ignore")
            from moto.moto_api._internal.models import moto_api_backend
            from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class KeepAlive(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"

        # What moto keeps belongs to the process: a second stack in it starts with nothing, too.
        moto_api_backend.reset()
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._application = SerialApplication(DomainDispatcherApplication(create_backend_app))
        with _listening(self._host, self._port) as listener:
            self._server = make_server(
                self._host,
                self._port,
                self._application,
                threaded=True,
                request_handler=KeepAlive,
                fd=listener.fileno(),
            )
        threading.Thread(
            target=self._server.serve_forever, args=(SHUTDOWN_HEARD_WITHIN_SECONDS,), name="embedded-aws", daemon=True
        ).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._application is not None:
            self._application.closing.set()
            self._server.shutdown()
            self._server.server_close()


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens. The server itself would end the process where it cannot.

    Raises:
        InvalidOptionError: there is no such host here, or somebody else has the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        problem = f"cannot listen on {host!r}, port {port}: {error.strerror or error}"
        raise InvalidOptionError(option="--port" if taken else "--host", problem=problem) from error
    except (UnicodeError, ValueError) as error:
        raise InvalidOptionError(option="--host", problem=f"{shortened(host)} is no host") from error


def _may_change(environ: "WSGIEnvironment") -> bool:
    target: str = environ.get("HTTP_X_AMZ_TARGET", "")
    operation = target.rpartition(".")[2]
    if operation:
        return not operation.startswith(_READS)
    return environ["REQUEST_METHOD"] not in ("GET", "HEAD")


def _has_messages(answer: Answer) -> bool:
    status, _, body = answer
    return not status.startswith("200") or b'"Messages"' in b"".join(body)
