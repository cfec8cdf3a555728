"""etcd 3.4 and newer, spoken to through its JSON gateway: ranges, transactions, leases and watches.

Several endpoints are one: the last that answered is asked first, another one when it does not answer, until the
deadline.  Why not gRPC, and what the gateway cannot do: docs/decisions/030.
"""

import builtins
import http.client
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import urlsplit

from bascule.model.errors import BasculeError, Failed, Forbidden, Invalid, Unavailable
from bascule.store import etcdwire as wire
from bascule.store.etcdwatch import Lost, Watch
from bascule.store.etcdwire import Body, Item, Listing
from bascule.store.tls import told

# google.golang.org/grpc/codes: those that another member, or the same one a moment later, may answer better.
_DEADLINE_EXCEEDED, _UNAUTHENTICATED, _UNAVAILABLE = 4, 16, 14
_DENIED = 7
# One member's share of the deadline: one that is cut off from the others hangs without a word.
_TRY = 2.0
_PAUSE = 0.05
# What etcd's gateway says then, in plain text.
_NAMED = b"CommonName of client"
_AUTHENTICATE = "/v3/auth/authenticate"
# etcd's --max-txn-ops.
MOST_OPERATIONS = 128

Server = tuple[str, int, bool]
"""Host, port, and whether it is spoken to by TLS."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the cluster's etcd is (`https://host:2379`, several), and who we are to it.  *deadline* is seconds for
    one request, whichever endpoints it takes.  *later*: while files cannot be read it is Unavailable, and not
    Invalid."""

    endpoints: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    cert: str = ""
    key: str = ""
    deadline: float = 5.0
    later: bool = False


class Replaced(Unavailable):
    """What answers is not the store that was joined: it was wiped, or set back, or is another cluster's."""


class Etcd:
    """See the module.  Any thread may call it; each call has a connection to itself."""

    def __init__(self, access: Access) -> None:
        if not access.endpoints:
            raise Invalid("no endpoint of the cluster store is given")
        self._access = access
        self._unread = ""
        try:
            self._tls = _context(access)
        except Invalid as refusal:
            if not access.later:
                raise
            self._tls, self._unread = None, str(refusal)
        self._servers = [_server(url) for url in access.endpoints]
        self._lock = Lock()
        self._idle: list[tuple[Server, http.client.HTTPConnection]] = []
        self._first = 0
        self._token = ""
        self._guard: tuple[str, str] | None = None

    def reach(self, access: Access) -> None:
        """From now on it is asked there and so; requests and watches that are under way go on.  Certificates are
        read again.  Raises Invalid."""
        tls, servers = _context(access), [_server(url) for url in access.endpoints]
        if not servers:
            raise Invalid("no endpoint of the cluster store is given")
        with self._lock:
            self._access, self._tls, self._servers, self._first = access, tls, servers, 0
            self._token = ""
        self.close()

    # ---- what is asked

    def guard(self, key: str, value: str) -> None:
        """From now on nothing is read or written but where *key* says *value*: raises Replaced otherwise."""
        self._guard = (key, value)

    def list(self, prefix: str, *, serializable: bool = False) -> Listing:
        """Everything below *prefix*.  *serializable*: as one member has it: needs no quorum, may be old."""
        return self.read([prefix], serializable=serializable)

    def read(
        self, prefixes: Sequence[str] = (), keys: Sequence[str] = (), *, serializable: bool = False
    ) -> Listing:
        """Everything below each of *prefixes*, and *keys*; together as of the revision that is told, unless they
        are more than one transaction takes: then what came later may be among it."""
        ranges = [*map(wire.below, prefixes), *({"key": wire.b64(key)} for key in keys)]
        looks = [{"request_range": {**one, "serializable": serializable}} for one in ranges]
        first, items = 0, list[Item]()
        for start in range(0, len(looks), MOST_OPERATIONS):
            body = {"compare": self._guards(), "success": looks[start : start + MOST_OPERATIONS]}
            answer = self._ask("/v3/kv/txn", body)
            if not answer.get("succeeded"):
                raise self._replaced()
            first = first or wire.revision(answer)
            items += wire.found(answer)
        return Listing(first, tuple(items))

    def transact(
        self,
        put: Mapping[str, str],
        delete: Sequence[str] = (),
        expected: Mapping[str, int] | None = None,
        lease: int = 0,
    ) -> int | None:
        """Write and delete in one transaction if every key of *expected* has that revision, 0 for one that is not
        there.  The revision it has made, or None when something was otherwise, and then nothing changed.

        It is asked again where the answer was lost.  An unlucky second try finds what the first one did: then the
        keys have exactly our values, and it was made.
        """
        wanted = expected or {}
        operations = [wire.put(key, value, lease) for key, value in put.items()]
        operations += [{"request_delete_range": {"key": wire.b64(key)}} for key in delete]
        if max(len(operations), len(wanted)) > MOST_OPERATIONS:
            raise Failed(f"{len(operations)} changes in one transaction, the cluster store takes {MOST_OPERATIONS}")
        keys = (*put, *delete, *((self._guard[0],) if self._guard else ()))
        body = {
            "compare": [*(wire.compare(*one) for one in wanted.items()), *self._guards()],
            "success": operations,
            "failure": [{"request_range": {"key": wire.b64(key)}} for key in keys],
        }
        answer, again = self._ask_counted("/v3/kv/txn", body, time.monotonic() + self._access.deadline)
        if answer.get("succeeded"):
            return wire.revision(answer)
        if self._guard and self._guard not in ((one.key, one.value) for one in wire.found(answer)):
            raise self._replaced()
        return wire.made_before(answer, put, delete) if again else None

    def _guards(self) -> builtins.list[Body]:
        return [wire.has_value(*self._guard)] if self._guard else []

    def _replaced(self) -> "Replaced":
        return Replaced(f"cluster store: {self._guard[0] if self._guard else ''}: it is not the store that it was")

    def grant(self, ttl: int) -> int:
        """A lease of *ttl* seconds: what is put with it goes when it ends."""
        return int(self._ask("/v3/lease/grant", {"TTL": str(ttl)})["ID"])

    def renew(self, lease: int) -> bool:
        """The lease has its full time again.  False: it has ended."""
        answer = self._ask("/v3/lease/keepalive", {"ID": str(lease)})
        return int(answer.get("result", {}).get("TTL", 0)) > 0

    def revoke(self, lease: int) -> None:
        """The lease ends now, and its keys with it.  Not an error if it has ended."""
        with suppress(_NotThere):
            self._ask("/v3/lease/revoke", {"ID": str(lease)})

    def leases(self) -> builtins.list[int]:
        """All that have not ended, whosever they are."""
        return [int(one["ID"]) for one in self._ask("/v3/lease/leases", {}).get("leases", ())]

    def watch(self, prefix: str, after: int) -> Watch:
        """What changes below *prefix* later than revision *after*."""
        deadline = time.monotonic() + self._access.deadline
        body = {**wire.below(prefix), "start_revision": str(after + 1)}
        # Without a leader, a member cut off from the others would keep its watchers waiting, in silence.
        headers = {"Grpc-Metadata-hasleader": "true"}
        token = self._token
        _, connection, response, _ = self._send("/v3/watch", {"create_request": body}, deadline, headers)
        if response.status != http.client.OK:
            connection.close()
            self._forget(token)
            raise Lost(f"{response.status} {response.reason}")
        return Watch(connection, response)

    def close(self) -> None:
        """Give back what is idle; a watch is closed by itself."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()

    def members(self, what: str, body: Body) -> Body:
        """About etcd's own members: *what* is list, add, promote or remove.  Raises Failed, Unavailable."""
        return self._ask(f"/v3/cluster/member/{what}", body)

    def auth(self, what: str, body: Body) -> Body:
        """About users, roles and their rights: *what* is the end of the gateway's path.  Raises Failed, Forbidden,
        Unavailable."""
        return self._ask(f"/v3/auth/{what}", body)

    def asks_who(self) -> bool:
        """Whether etcd's authentication is on.  Raises Forbidden where it is and does not know us."""
        try:
            self._login(time.monotonic() + self._access.deadline)
        except _NotAsked:
            return False
        return True

    # ---- how

    def _ask(self, path: str, body: Body) -> Body:
        return self._ask_counted(path, body, time.monotonic() + self._access.deadline)[0]

    def _ask_counted(self, path: str, body: Body, deadline: float) -> tuple[Body, bool]:
        """The answer, and whether an earlier try may have been heard.  Raises Unavailable at *deadline*."""
        again = False
        while True:
            token = self._token
            server, connection, response, doubtful = self._send(path, body, deadline)
            again = again or doubtful
            try:
                text = response.read()
                if text.startswith(_NAMED):
                    connection.close()
                    raise Failed(
                        "cluster store: where users have passwords it takes no certificate with a common name"
                    )
                answer = json.loads(text)
            except (OSError, http.client.HTTPException, ValueError) as error:
                connection.close()
                why: str = told(error)
            else:
                self._keep(server, connection)
                code = answer.get("code", 0)
                if not code:
                    return answer, again
                why = answer.get("error", "") or answer.get("message", "")
                if _token_is_old(code, why) and self._access.user:
                    # Tokens end when they are not used, and with the member that has them in memory.
                    self._forget(token)
                    if time.monotonic() + _PAUSE < deadline:
                        continue
                if code not in (_DEADLINE_EXCEEDED, _UNAVAILABLE):
                    raise _refusal(path, code, why, self._access.user)
            again = True
            self._next(server)
            if time.monotonic() + _PAUSE >= deadline:
                raise Unavailable(f"cluster store: {path.removeprefix('/v3/')}: {why}")
            time.sleep(_PAUSE)

    def _send(
        self, path: str, body: Body, deadline: float, headers: Mapping[str, str] | None = None
    ) -> tuple[Server, http.client.HTTPConnection, http.client.HTTPResponse, bool]:
        """Sent, and an answer begun: which server, its connection, and whether an earlier try may have been heard.
        Raises Unavailable at the deadline."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if self._unread:
            self._read_certificates()
        if self._unread:
            raise Unavailable(self._unread)
        why, doubtful = "no time was left", False
        while (left := deadline - time.monotonic()) > 0:
            if self._access.user and path != _AUTHENTICATE:
                sent["Authorization"] = self._login(deadline)
            server, connection = self._connection()
            try:
                _patience(connection, min(left, _TRY))
                connection.request("POST", path, json.dumps(body).encode(), sent)
                return server, connection, connection.getresponse(), doubtful
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if isinstance(error, TimeoutError):
                    # A token says at which revision of the log it was given, and etcd waits for that: one that
                    # lost its data in silence.
                    self._forget(sent.get("Authorization", ""))
                if isinstance(error, ssl.SSLError):
                    self._read_certificates()
                doubtful = doubtful or not isinstance(error, ConnectionRefusedError)
                why = told(error, peer=server[0])
                self._next(server)
                time.sleep(min(_PAUSE, max(0.0, deadline - time.monotonic())))
        raise Unavailable(f"cluster store: {path.removeprefix('/v3/')}: {why}")

    def _connection(self) -> tuple[Server, http.client.HTTPConnection]:
        with self._lock:
            server, tls = self._servers[self._first], self._tls
            for n, (of, connection) in enumerate(self._idle):
                if of == server:
                    del self._idle[n]
                    return server, connection
        host, port, secure = server
        if secure:
            return server, http.client.HTTPSConnection(host, port, timeout=_TRY, context=tls)
        return server, http.client.HTTPConnection(host, port, timeout=_TRY)

    def _read_certificates(self) -> None:
        """They may be others than they were, when the ones that we have do not do any more."""
        try:
            tls = _context(self._access)
        except Invalid:
            # They are just being written, or are gone: those that we have must do.
            return
        with self._lock:
            self._tls, self._unread = tls, ""

    def _keep(self, server: Server, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._idle.append((server, connection))

    def _next(self, server: Server) -> None:
        """Ask another one than *server* from now on, and nobody over what was open to it."""
        with self._lock:
            if self._servers[self._first] == server:
                self._first = (self._first + 1) % len(self._servers)
            dead = [c for of, c in self._idle if of == server]
            self._idle = [(of, c) for of, c in self._idle if of != server]
        for connection in dead:
            connection.close()

    def _login(self, deadline: float) -> str:
        if not self._token:
            body = {"name": self._access.user, "password": self._access.password}
            self._token = str(self._ask_counted(_AUTHENTICATE, body, deadline)[0]["token"])
        return self._token

    def _forget(self, token: str) -> None:
        """*token* is good for nothing any more; another thread may have a new one by now."""
        if self._token == token:
            self._token = ""


class _NotThere(Failed):
    """What was named is not there."""


class _NotAsked(Failed):
    """We said who we are, and etcd does not ask."""


def _refusal(path: str, code: int, why: str, user: str) -> BasculeError:
    if "authentication is not enabled" in why:
        return _NotAsked(f"cluster store: there is a user for it, {user}, and its authentication is not enabled")
    if path == _AUTHENTICATE and "authentication failed" in why:
        return Forbidden(f"cluster store: it knows no user {user} with this password")
    if "user name is empty" in why:
        return Forbidden("cluster store: it serves nobody without a name and a password")
    if code == _DENIED:
        return Forbidden(f"cluster store: {path.removeprefix('/v3/')}: user {user} has no right to that")
    kind = _NotThere if code == 5 else Failed
    return kind(f"cluster store: {path.removeprefix('/v3/')}: {why}")


def _token_is_old(code: int, why: str) -> bool:
    return code == _UNAUTHENTICATED or "invalid auth token" in why or "revision of auth store is old" in why


def _context(access: Access) -> ssl.SSLContext | None:
    if not any(url.startswith("https://") for url in access.endpoints):
        return None
    try:
        context = ssl.create_default_context(cafile=access.ca or None)
        if access.cert:
            context.load_cert_chain(access.cert, access.key or None)
    except OSError as error:
        files = ", ".join(filter(None, (access.ca, access.cert, access.key)))
        raise Invalid(f"certificates of the cluster store: {files}: {error.strerror or error}") from error
    return context


def _server(url: str) -> Server:
    try:
        parts = urlsplit(url)
        port = parts.port or 2379
    except ValueError:
        parts, port = urlsplit(""), 0
    if "@" in parts.netloc:
        # Not repeated: it may be logged, and is shown to whoever asks where the store is.
        raise Invalid(
            f"cluster store at {parts.hostname}: user and password are not part of the address, but told by"
            " --cluster-store-user and --cluster-store-password-file"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or not port or parts.path.strip("/"):
        raise Invalid(f"cluster store {url!r}: not an address like https://10.0.0.1:2379")
    return parts.hostname, port, parts.scheme == "https"


def _patience(connection: http.client.HTTPConnection, seconds: float) -> None:
    connection.timeout = seconds
    if connection.sock is not None:
        connection.sock.settimeout(seconds)
