"""What sandboxes hear: answers built once, and found again by the bytes of the question.

A query but for its first two bytes, the id, is the key of a dictionary, and the answer but for those two is the
value: so an answer that was given before costs one look-up and no parsing.  Sandboxes on the same networks and
without links of their own (nearly all) share one dictionary.  It is emptied when a name on one of its networks
changes; it then costs one slow answer a name to fill it again, not a rebuilding of anything.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

from bascule.dns.zone import Directory, Records, Verdict
from bascule.wire.dns import AXFR, BADVERS, IN, IXFR, NXDOMAIN, REFUSED, STREAM_SIZE, Query, reply

# Docker's (libnetwork/resolver.go: respTTL).
TTL = 600
# 5,000 names, each asked for A and AAAA by two kinds of client.  Random case makes more: then it starts afresh.
HOT_MAX = 20_000
# A name with more addresses is shuffled anew whenever it is built, and handed out in this many orders.
ORDERS_MAX = 16

Shuffle = Callable[[Records], None]
Hot = dict[bytes, "bytes | cycle[bytes]"]


class Scope:
    """What is heard by those on *networks* (asked in this order) with *links*."""

    __slots__ = ("__weakref__", "_directory", "_shuffle", "hot", "links", "networks")

    def __init__(
        self,
        directory: Directory,
        shuffle: Shuffle,
        networks: Sequence[str],
        links: Mapping[bytes, Sequence[bytes]],
    ) -> None:
        self.networks = networks
        self.links = links
        self.hot: Hot = {}
        self._directory = directory
        self._shuffle = shuffle

    def answer(self, data: bytes, asked: Query, *, stream: bool) -> bytes | None:
        """The answer to the query *data*, or None: it is for somebody else to answer."""
        limit = STREAM_SIZE if stream else asked.limit
        if asked.edns and asked.edns.version:
            return reply(data, asked, ttl=TTL, rcode=BADVERS, limit=limit)
        if asked.kind in (AXFR, IXFR):
            return reply(data, asked, ttl=TTL, rcode=REFUSED, limit=limit)
        found = self._directory.find(self.networks, self.links, asked.name, asked.kind if asked.klass == IN else 0)
        match found:
            case Verdict.FORWARD:
                return None
            case Verdict.NOWHERE:
                return reply(data, asked, ttl=TTL, rcode=NXDOMAIN, limit=limit)
            case _:
                answers = [reply(data, asked, records, ttl=TTL, limit=limit) for records in self._orders(found)]
        if not stream and (asked.edns is None or asked.edns.plain):
            self._remember(data[2:], [answer[2:] for answer in answers])
        return answers[0]

    def _orders(self, records: Records) -> list[Records]:
        if len(records) < 2:
            return [records]
        self._shuffle(records)
        return [records[n:] + records[:n] for n in range(min(len(records), ORDERS_MAX))]

    def _remember(self, key: bytes, answers: list[bytes]) -> None:
        if len(self.hot) >= HOT_MAX:
            self.hot.clear()
        self.hot[key] = answers[0] if len(answers) == 1 else cycle(answers[1:] + answers[:1])
