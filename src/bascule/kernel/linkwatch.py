"""A thread that hears when links of the host that are not ours come, go, or change.

Networks stand on such links (a macvlan's parent).  Our own come and go with every container: a filter in the kernel
leaves them out, so that nobody wakes up for them, but for one that goes under its own name, since what we remove
has been renamed before.  What the kernel tells of a link though nothing of interest changed (it does so for each
macvlan that is made of it) ends here.
"""

import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Collection

from bascule.kernel.adding import OURS
from bascule.kernel.filters import ANY_BIT, EQUAL, LEAVE, LOAD_BYTE, LOAD_WORD, TAKE, Instruction, attach
from bascule.kernel.place import Place
from bascule.kernel.removing import AWAY
from bascule.kernel.route_socket import RECEIVE, SOL_NETLINK
from bascule.model.hostlink import HostLink
from bascule.wire import rtnetlink as rt
from bascule.wire import rtstate
from bascule.wire.netlink import Malformed, Message, messages
from bascule.wire.rtstate import LinkGlance

_ADD_MEMBERSHIP, _GROUP_LINK = 1, 1
_LITTLE = sys.byteorder == "little"
# Where in a message: nlmsg_type's low byte, the family that all bodies begin with, the name, which is the first
# attribute (net/core/rtnetlink.c: rtnl_fill_ifinfo), and the upper bytes of ifi_index.
_KIND, _FAMILY, _NAME = (4 if _LITTLE else 5), 16, 36
_HIGHEST, _SECOND = (23, 22) if _LITTLE else (20, 21)
# The bits of the second byte that no index below OURS has.
_OURS = (0xFF << (OURS.bit_length() - 17)) & 0xFF
_FILTER: tuple[Instruction, ...] = (
    # What a bridge says of its ports is of another family.
    (LOAD_BYTE, 0, 0, _FAMILY),
    (EQUAL, 0, 8, rt.AF_UNSPEC),
    (LOAD_BYTE, 0, 0, _HIGHEST),
    (ANY_BIT, 2, 0, 0xFF),
    (LOAD_BYTE, 0, 0, _SECOND),
    (ANY_BIT, 0, 5, _OURS),
    (LOAD_BYTE, 0, 0, _KIND),
    (EQUAL, 0, 2, rt.RTM_DELLINK),
    (LOAD_WORD, 0, 0, _NAME),
    (EQUAL, 0, 1, int.from_bytes(AWAY[:4].encode())),
    LEAVE,
    TAKE,
)


def told(state: rtstate.LinkState) -> HostLink:
    """The link in the engine's words."""
    # A number of another namespace's says nothing here.
    parent = state.parent if state.netnsid < 0 else 0
    return HostLink(state.index, state.name, state.kind, state.up, state.carries, state.mtu, state.mac, parent)


class LinkWatch:
    """Hears of the links of the namespace of the thread that makes this, from `start` to `close`."""

    def __init__(self, home: Place) -> None:
        """*home* remembers no index of a link that was renamed or has gone."""
        self._home = home
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._hears = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        attach(self._hears, _FILTER)
        self._hears.bind((0, 0))
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._known: dict[int, LinkGlance] = {}
        self._tell: Callable[[Collection[str]], None] = lambda _names: None
        self._thread: threading.Thread | None = None

    def start(self, tell: Callable[[Collection[str]], None]) -> None:
        """*tell* hears from now on, on the watch's own thread."""
        self._tell = tell
        if self._thread is None:
            # Before the list, so that nothing goes by between the two.
            self._hears.setsockopt(SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_LINK)
            self._list()
            self._thread = threading.Thread(target=self._run, name="link-watch", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Hear nothing any more.  Must not be called from *tell*."""
        if self._thread is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            self._thread = None
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1
        self._hears.close()

    def _list(self) -> None:
        self._known = dict(map(rtstate.glance, self._home.routes.dump(rt.links())))

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._hears, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while all(fd != self._wake for fd, _ in poll.poll()):
            changed: set[str] = set()
            lost = False
            # One call for all that is there.
            while (data := self._receive()) is not None:
                try:
                    for message in messages(data):
                        changed |= self._heard(message)
                except Malformed:
                    data = b""
                lost = lost or not data
            if lost:
                self._home.forgets_all()
                self._list()
            for name in changed:
                self._home.forgets(name)
            if lost or changed:
                self._tell(() if lost else changed)

    def _receive(self) -> bytes | None:
        try:
            return self._hears.recv(RECEIVE)
        except BlockingIOError:
            return None
        except OSError:
            # ENOBUFS: more was said than the buffer holds, so anything may have been.
            return b""

    def _heard(self, message: Message) -> set[str]:
        """The names that are about a change."""
        index, seen = rtstate.glance(message)
        before = self._known.pop(index, None)
        if message.type == rt.RTM_DELLINK:
            return {seen[0]}
        self._known[index] = seen
        if seen == before:
            return set()
        return {seen[0], before[0]} if before else {seen[0]}
