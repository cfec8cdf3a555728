"""Where hosts knock that want to become members, or want a fresh certificate: TLS on a port of a host that has the
authority's key, and the asking end of it.

Who joins does not know the authority yet, but its digest: it takes the certificate from whoever answers, compares,
and says the secret only to one who has a certificate of that authority for the address that it asked.
"""

import http.client
import json
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Thread
from typing import Any

from bascule.cluster.home import DOOR, Home
from bascule.model.addresses import IPAddress
from bascule.model.errors import BasculeError, Conflict, Failed, Forbidden, Invalid, Unavailable
from bascule.store.tls import told, untimely

log = logging.getLogger("bascule.cluster")
Body = dict[str, Any]
Answer = Callable[[Body], Body]
# Seconds for which a visitor is listened to, and one who opens is waited for: adding a member is etcd's work.
_LISTENING, _ASKING = 10.0, 20.0
_LONGEST = 64 << 10
_VISITORS = 16


class Door:
    """Open at *address* until `close`; *answers* has a function for each path.  Raises Failed."""

    def __init__(self, home: Home, address: IPAddress, answers: Mapping[str, Answer], port: int = DOOR) -> None:
        try:
            self._server = _Server(home, address, answers, port)
        except OSError as why:
            raise Failed(f"{address}, port {port}: hosts that join cannot be listened to: {why.strerror}") from why
        self._thread = Thread(target=self._server.serve_forever, name="cluster-door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, home: Home, address: IPAddress, answers: Mapping[str, Answer], port: int) -> None:
        self.answers = answers
        self._home = home
        self._room = BoundedSemaphore(_VISITORS)
        self.address_family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        super().__init__((str(address), port), _Visit)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the visitor's own thread: who does not shake hands keeps nobody else waiting.
        request.settimeout(_LISTENING)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._home.path / "node.pem", self._home.path / "node.key")
        with context.wrap_socket(request, server_side=True) as tls:
            _Visit(tls, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        log.debug("a visitor from %s", client_address, exc_info=True)


class _Visit(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        code, said = 404, {"message": "page not found"}
        answer = self.server.answers.get(self.path)
        if answer is not None:
            try:
                code, said = 200, answer(self._body())
            except BasculeError as refusal:
                code, said = refusal.status, {"message": str(refusal)}
        text = json.dumps(said).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _body(self) -> Body:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > _LONGEST:
            raise Invalid("a body of a known and decent length is expected")
        try:
            found = json.loads(self.rfile.read(int(length)))
        except ValueError as why:
            raise Invalid(f"the body is no JSON: {why}") from why
        if not isinstance(found, dict):
            raise Invalid("an object is expected")
        return found

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("%s: %s", self.client_address, format % args)


def text(body: Body, key: str) -> str:
    """What a visitor said under *key*.  Raises Invalid."""
    found = body.get(key)
    if not isinstance(found, str):
        raise Invalid(f"{key}: text is expected")
    return found


# ---- the asking end

_REFUSALS: Mapping[int, type[BasculeError]] = {400: Invalid, 403: Forbidden, 409: Conflict, 503: Unavailable}


def ask(host: str, path: str, body: Body, *, authority: str = "", port: int = DOOR) -> Body:
    """What a door says.  *authority* is the certificate of the one whom its host must have one of; "": anybody's
    word is taken.  Raises what the door refuses with, Unavailable where nobody answers, Failed where it is
    a clock that is wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority:
        context.load_verify_locations(cadata=authority)
    else:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, port, timeout=_ASKING, context=context)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as why:
        # Who is asked again in vain for a minute would not know why.
        kind = Failed if untimely(why) else Unavailable
        raise kind(f"{host}, port {port}: no host of a cluster answers: {told(why)}") from why
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise _REFUSALS.get(answer.status, Failed)(f"{host}: {said.get('message', answer.reason)}")
    found: Body = said
    return found
