"""What encrypts, in a kernel in memory: kept, and nothing is encrypted."""

import errno
from collections.abc import Collection, Iterator

from bascule.model.sealing import Identity, Peer, Sealing, XfrmState, place


class FakeSealing:
    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Sealing] = {}

    def holds(self, thing: Sealing) -> bool:
        return self._known.get(place(thing)) == thing

    def why_not(self, thing: Sealing, kind: str) -> int:
        """The errno with which Linux refuses *thing*, or 0; *kind* is that of its link, "" where there is none."""
        if isinstance(thing, Identity | Peer):
            return 0 if kind == "wireguard" else errno.EOPNOTSUPP if kind else errno.ENODEV
        return errno.EEXIST if isinstance(thing, XfrmState) and place(thing) in self._known else 0

    def make(self, thing: Sealing) -> None:
        self._known[place(thing)] = thing

    def unmake(self, thing: Sealing) -> None:
        """An identity is its link's, and goes with it."""
        if self.holds(thing) and not isinstance(thing, Identity):
            del self._known[place(thing)]

    def drop(self, link: str) -> None:
        """The link is gone."""
        self._known = {
            key: t for key, t in self._known.items() if not (isinstance(t, Identity | Peer) and t.link == link)
        }

    def unstated(self, stated: Collection[object]) -> list[Sealing]:
        return [thing for thing in self._known.values() if not isinstance(thing, Identity) and thing not in stated]

    def lines(self) -> Iterator[str]:
        return map(str, self._known.values())
