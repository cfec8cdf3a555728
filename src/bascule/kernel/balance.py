"""`engine.balance.Balance` on Linux: a table in each namespace that asks services. See `kernel/sharing.py`.

A visit is a thread in the namespace and two sockets there, a millisecond. They are closed on a thread of their own:
closing one waits for what nftables has yet to free, 10 ms after any deletion of an element
(net/netfilter/nf_tables_api.c: nft_rcv_nl_event).
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from socket import IPPROTO_TCP
from threading import Lock, Thread

from bascule.kernel import conntrack, sharing
from bascule.kernel.libnftables import Libnftables
from bascule.kernel.namespaces import Identity, identity, in_namespace
from bascule.kernel.netfilter import Netfilter
from bascule.kernel.sharing import Only, Shares
from bascule.model.addresses import IPAddress
from bascule.model.errors import KernelError
from bascule.wire.conntrack import Flow

Arranged = dict[IPAddress, tuple[IPAddress, ...]]
_WHAT = "divide connections to services"
# What the kernel says when the table is not as we left it.
_NOT_AS_LEFT = (0, errno.ENOENT, errno.EEXIST, errno.EBUSY)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a namespace was told last."""

    space: Identity | None
    shares: Arranged
    chains: frozenset[str]


class Balancer:
    """Any thread may call it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[str, _Known] = {}

    def share(self, key: str, shares: Shares, only: Only = ()) -> None:
        """See the protocol.  Costs nothing where nothing changes."""
        with self._lock:
            known = self._of(key)
            wanted = _arranged(known, shares)
            if wanted != (known.shares if known else {}):
                self._write(key, known, wanted, only)

    def renew(self, key: str, shares: Shares, only: Only = ()) -> None:
        """See the protocol.  One transaction: there is no moment without."""
        with self._lock:
            known = self._of(key)
            self._write(key, known, _arranged(known, shares), only, anew=True)

    def faults(self, key: str, shares: Shares, only: Only = ()) -> list[str]:
        """See the protocol.  Costs nothing where nothing is divided and nothing was found the last time."""
        with self._lock:
            known = self._of(key)
            wanted = sharing.elements(_arranged(known, shares))
            if not wanted and known is not None:
                return []
            there = in_namespace(key, lambda: _present(only))
            if not wanted and not there:
                self._known[key] = _Known(identity(key), {}, frozenset())
        lines = [f"missing: {name} {{ {at} : {to} }}" for (name, at), to in wanted.items() - there.items()]
        lines += [f"stale: {name} {{ {at} : {to} }}" for (name, at), to in there.items() - wanted.items()]
        return sorted(lines)

    def forget(self, key: str) -> None:
        """See the protocol."""
        with self._lock:
            self._known.pop(key, None)

    def _of(self, key: str) -> _Known | None:
        known = self._known.get(key)
        # Another namespace may be at the same path by now.
        return known if known is not None and known.space == identity(key) else None

    def _write(self, key: str, known: _Known | None, wanted: Arranged, only: Only, *, anew: bool = False) -> None:
        before = known.shares if known else {}
        gone = {one for front, members in before.items() for one in members if one not in wanted.get(front, ())}
        fresh = set(wanted) - set(before)

        def lost(flow: Flow) -> bool:
            # A flow of datagrams would go on asking who is not there, and whoever asked before there was anybody
            # would never be translated.  A stream may go on: perhaps it is only the store that lost sight of it.
            return (flow.answers in gone and flow.proto != IPPROTO_TCP) or flow.answers in fresh

        whole = in_namespace(
            key, lambda: _visit(None if anew else known, wanted, only, lost if gone or fresh else None)
        )
        if not wanted:
            self._known.pop(key, None)
            return
        chains = frozenset(sharing.chains(wanted))
        old = known.chains if known and not whole else frozenset()
        self._known[key] = _Known(identity(key), wanted, chains | old)


def _visit(known: _Known | None, wanted: Arranged, only: Only, lost: Callable[[Flow], bool] | None) -> bool:
    """Whether all was written, not only what differs.  Connections that are *lost* are forgotten."""
    nft, netfilter = Libnftables(), Netfilter()
    try:
        whole = _load(nft, known, wanted, only)
        if lost is not None:
            conntrack.forget_some(netfilter, lost)
    finally:
        for close in (nft.close, netfilter.close):
            Thread(target=close, name="bascule-closer", daemon=True).start()
    return whole


def _load(nft: Libnftables, known: _Known | None, wanted: Arranged, only: Only) -> bool:
    if known is not None and known.shares and wanted:
        try:
            nft.run(sharing.change(known.shares, wanted, known.chains), _WHAT)
            return False
        except KernelError as refused:
            if refused.errno not in _NOT_AS_LEFT:
                raise
            # Somebody in there changed it: it is put back whole.
    nft.run(sharing.whole(wanted, only), _WHAT)
    return True


def _arranged(known: _Known | None, shares: Shares) -> Arranged:
    before = known.shares if known else {}
    return {front: sharing.arranged(before.get(front, ()), now) for front, now in shares.items() if now}


def _present(only: Only) -> dict[sharing.Key, str]:
    """The elements as they are in this thread's namespace."""
    nft = Libnftables()
    try:
        return sharing.read(nft.run(f"list table inet {sharing.TABLE}", "list what is divided"), only)
    except KernelError as refused:
        if refused.errno != errno.ENOENT:
            raise
        return {}
    finally:
        nft.close()
