"""What encrypts on this host: WireGuard's identities and peers, IPsec's states and policies; of links of ours only.

A kernel without WireGuard or IPsec refuses what needs it, by the errno of whatever it lacks.  Policies and peers
are replaced, never taken away first: packets between the two would be lost.  So a policy that was replaced is not
removed with the statement that had made it.
"""

import errno
import threading
from collections.abc import Iterable, Iterator, Sequence

from bascule.kernel.adding import Numbers
from bascule.kernel.place import Place
from bascule.kernel.protocol import Outcome
from bascule.kernel.removing import GONE
from bascule.kernel.route_socket import ALL_DONE, RouteSocket
from bascule.model.addresses import ip_address
from bascule.model.cluster import Seal
from bascule.model.errors import KernelError
from bascule.model.links import WireGuard, Xfrm
from bascule.model.sealing import NUMBER, Identity, Peer, XfrmPolicy, XfrmState
from bascule.model.sealing import Sealing as Entry
from bascule.wire import rtnetlink, wireguard, xfrm
from bascule.wire.netlink import Request
from bascule.wire.rtstate import LinkState

_GENERIC, _XFRM = 16, 6
_TRY = "bascule-try"
_NOBODYS = 0xBA5C01E
# These addresses are nobody's (RFC 5737, RFC 3849).
_TRIED = [
    XfrmState(ip_address(f"{net}1"), ip_address(f"{net}2"), _NOBODYS, _NOBODYS, "00" * 36)
    for net in ("192.0.2.", "2001:db8::")
]


class Sealing:
    """In the namespace *home*."""

    def __init__(self, home: Place, numbers: Numbers, group: int) -> None:
        self._home = home
        self._numbers = numbers
        self._group = group
        self._sockets: dict[int, RouteSocket] = {}
        self._family = 0
        self._lock = threading.Lock()

    def add(self, run: Sequence[Entry]) -> list[Outcome]:
        known = self._known(run)
        return ["held" if thing in known else self._asked(thing) or "made" for thing in run]

    def remove(self, run: Sequence[Entry]) -> list[KernelError]:
        """An identity goes with its link."""
        known = self._known(run)
        asked = [self._asked(t, delete=True) for t in run if t in known and not isinstance(t, Identity)]
        return [refusal for refusal in asked if refusal is not None and refusal.errno not in GONE]

    def missing(self, things: Sequence[Entry]) -> list[Entry]:
        known = self._known(things)
        return [thing for thing in things if thing not in known]

    def ours(self, links: Iterable[LinkState]) -> list[Entry]:
        """Every peer on WireGuard links among *links*, and where one is IPsec's every state and policy that is ours
        by its number: they go before their link."""
        found: list[Entry] = []
        for link in links:
            if link.kind == "wireguard":
                found += [thing for thing in self._link(link.name) if isinstance(thing, Peer)]
            elif link.kind == "xfrm":
                found += [thing for thing in self._ipsec() if thing.number == NUMBER]
        return found

    def seals(self) -> tuple[Seal, ...]:
        """What a try of each says: a link is made, an association with the very algorithm, and taken away again."""
        seals: list[Seal] = []
        if self._tries(WireGuard(_TRY)):
            seals.append("wireguard")
        refusals = [self._asked(state) for state in _TRIED]
        for state in _TRIED:
            self._asked(state, delete=True)
        # One that is there is what an earlier try left.
        known = all(refusal is None or refusal.errno == errno.EEXIST for refusal in refusals)
        if known and self._tries(Xfrm(_TRY, _NOBODYS)):
            seals.append("esp")
        return tuple(seals)

    def close(self) -> None:
        """Sockets end with the last who uses them."""
        self._sockets.clear()

    # ---- asking

    def _tries(self, link: WireGuard | Xfrm) -> bool:
        """Whether *link* can be made; it is gone again."""
        numbers = rtnetlink.Numbers(self._numbers.pick(), self._group)
        made = self._home.routes.ask(rtnetlink.new_link(link, numbers)[:1]) is ALL_DONE
        if made:
            self._home.routes.ask([rtnetlink.delete_link(numbers.number)])
        return made

    def _asked(self, thing: Entry, *, delete: bool = False) -> KernelError | None:
        try:
            protocol, request = self._request(thing, delete)
            for answer in self._socket(protocol).ask([request]):
                return KernelError(answer.errno, str(thing), answer.text)
        except KernelError as refusal:
            return KernelError(refusal.errno, str(thing), refusal.text)
        return None

    def _request(self, thing: Entry, delete: bool) -> tuple[int, Request]:
        match thing:
            case Identity():
                return _GENERIC, wireguard.identity(self._wireguard(), thing)
            case Peer():
                return _GENERIC, wireguard.peer(self._wireguard(), thing, delete=delete)
            case XfrmState():
                return _XFRM, xfrm.state(thing, delete=delete)
            case XfrmPolicy():
                return _XFRM, xfrm.policy(thing, delete=delete)

    def _socket(self, protocol: int) -> RouteSocket:
        """Raises KernelError EPROTONOSUPPORT where the kernel has no such thing."""
        with self._lock:
            if protocol not in self._sockets:
                try:
                    self._sockets[protocol] = self._home.inside(lambda: RouteSocket(protocol))
                except OSError as why:
                    raise KernelError(why.errno or errno.EIO, "netlink socket") from None
            return self._sockets[protocol]

    def _wireguard(self) -> int:
        """The number of its messages.  Raises KernelError."""
        if not self._family:
            told = self._socket(_GENERIC).get(wireguard.get_family())
            if told is None:
                raise KernelError(errno.EOPNOTSUPP, "netlink request", "this kernel has no WireGuard")
            self._family = wireguard.family(told)
        return self._family

    # ---- reading

    def _known(self, things: Sequence[Entry]) -> set[Entry]:
        links = dict.fromkeys(t.link for t in things if isinstance(t, Identity | Peer))
        found: set[Entry] = {thing for link in links for thing in self._link(link)}
        if any(isinstance(t, XfrmState | XfrmPolicy) for t in things):
            found.update(self._ipsec())
        return found

    def _link(self, link: str) -> list[Identity | Peer]:
        try:
            kind = self._wireguard()
            return wireguard.read(self._socket(_GENERIC).dump(wireguard.get_link(kind, link)))
        except KernelError as refusal:
            # ENODEV: no such link; EOPNOTSUPP: it is of another kind, or there are none.
            if refusal.errno not in (*GONE, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
                raise
            return []

    def _ipsec(self) -> Iterator[XfrmState | XfrmPolicy]:
        try:
            states = self._socket(_XFRM).dump(xfrm.states())
            policies = self._socket(_XFRM).dump(xfrm.policies())
        except KernelError as refusal:
            if refusal.errno != errno.EPROTONOSUPPORT:
                raise
            return
        yield from (one for one in map(xfrm.read_state, states) if one is not None)
        yield from (one for one in map(xfrm.read_policy, policies) if one is not None)
