"""What the engine needs of a kernel.  `linux.LinuxKernel` and `fake.FakeKernel` keep these promises, held to
them by one set of cases (tests/kernel_cases.py)."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, Protocol

from bascule.model.addresses import IPAddress, IPInterface
from bascule.model.cluster import Seal
from bascule.model.endpoint import Proto
from bascule.model.errors import KernelError
from bascule.model.hostlink import HostLink
from bascule.model.spans import Span
from bascule.model.thing import Rule, Thing

Outcome = Literal["made", "held"] | KernelError
"""What became of one thing: made now, true before, or refused."""


class Kernel(Protocol):
    def add(self, things: Sequence[Thing]) -> list[Outcome]:
        """Make things true, in order and in as few requests as the order allows; one outcome each.

        A refusal does not stop the ones behind it: `apply.bring_up` takes back what was made.  Elements of the
        firewall go in one transaction.  A thing that already holds, with the same values, is "held".
        A link of ours that has another MTU or MAC, is down or out of its bridge is set right, and "made".
        """
        ...

    def remove(self, things: Sequence[Thing]) -> list[KernelError]:
        """Make things untrue, in the order given.  What is already gone is no error.

        Links leave at once (down, out of their bridge, renamed out of the way, at both ends) and are deleted
        later, together, by group.
        """
        ...

    def missing(self, things: Sequence[Thing]) -> list[Thing]:
        """Those of *things* that do not hold, in order.  Of a link in a namespace of its own the MTU and the MAC,
        and of a pair's end there the name, are the business of whoever lives in it."""
        ...

    def as_made(self, things: Sequence[Thing]) -> list[Thing]:
        """*things* as `add` would make them: where the kernel has no dummy links, one is of another kind."""
        ...

    def strays(self, things: Sequence[Thing]) -> list[Thing]:
        """What is on the VXLAN links among *things* and is not stated there: forwarding and neighbour entries; and
        what encrypts on links of ours, or would, and is not stated."""
        ...

    def seals(self) -> tuple[Seal, ...]:
        """What this kernel can encrypt tunnels with, which is found out by trying; the better one first."""
        ...

    def underlay(self, address: IPAddress) -> int:
        """The MTU of the host's link that has *address*.  Raises Failed where none has it."""
        ...

    def answers(self, address: IPAddress, port: int) -> bool:
        """Whether another host says anything to a TCP connection, if only no; it waits half a second for it."""
        ...

    def reach(self, address: IPAddress, most: int) -> int:
        """How many bytes, headers and all, a packet to another host may have to arrive whole, *most* at most; 0
        where it answers no pings.  It waits for seconds where less than *most* is answered."""
        ...

    def guard(self, rules: Sequence[Rule], former: Sequence[str] = ()) -> None:
        """Replace the whole rule set and its elements by ours with exactly *rules*, in one transaction.

        The administrator's chain keeps its rules.  Tables of ours under *former* names go with the same, and their
        administrator's rules come along where there were none; those that a living process has are left.  From
        then on `add` and `remove` keep count, and when somebody else flushes or changes the tables they are put
        back as they should be, whole.
        """
        ...

    def sweep(self, keep: Iterable[Thing]) -> list[str]:
        """Remove every link of ours (our group) with both its ends, every namespace below our directory, and every
        route and entry of our macvlan, ipvlan and VXLAN links at home, that *keep* does not state; also what an
        earlier process left half deleted.  Returns what was removed, for the log."""
        ...

    def routes(self) -> list[Span]:
        """Every block of addresses the host owns an address in or has a route to, default routes left out."""
        ...

    def links(self) -> dict[str, str]:
        """The names and kinds of the host's links: {"eth0": "veth", "lo": "", "br0": "bridge"}."""
        ...

    def host_links(self) -> dict[str, HostLink]:
        """The host's links by name, as they are."""
        ...

    def below(self, ns: str, link: str) -> int:
        """The index of the host's link that *link* in the namespace at *ns* is made of, or whose far end it is; 0
        where there is none."""
        ...

    def on_links(self, tell: Callable[[Collection[str]], None]) -> None:
        """From now on *tell* hears, on a thread of its own, the names of links of the host that came, went, were
        renamed (both names), or changed in what `host_links` tells of them; nothing: any may have.  Of our own
        links it hears only when somebody else took one away."""
        ...

    def addresses(self, ns: str, link: str) -> list[IPInterface]:
        """The addresses that *link* in the namespace at *ns* has, whoever gave it those."""
        ...

    def await_address(self, ns: str, link: str, seconds: float) -> bool:
        """Whether *link* in the namespace at *ns* has an IPv6 address that leads off it, perhaps one that is still
        looked for elsewhere; waits up to *seconds* for that."""
        ...

    def nature(self, link: str) -> str:
        """`wireless`, or the name of the device's driver, of the host's *link*; "" where it is of another kind or
        nobody can tell."""
        ...

    def who_has(self, link: str, addresses: Sequence[IPAddress], but: Collection[str]) -> dict[IPAddress, str]:
        """The MACs of other machines on the segment of the host's *link* that say to have one of *addresses*, those
        in *but* left out.  Waits for answers, up to a third of a second."""
        ...

    def announce(self, ns: str, link: str, addresses: Sequence[IPAddress]) -> None:
        """Tell the neighbours of *link* in the namespace at *ns* that *addresses* are there, once; nothing where
        the link has gone.  The kernel does so itself where it is told to, but only when a link comes up."""
        ...

    def port_holder(self, proto: Proto, host: IPAddress, port: int) -> str | None:
        """Who keeps *port* from being published, in words ("nginx (pid 812)"), or None when it is free.
        Raises Failed with "cannot assign requested address" when *host* is not an address of this host."""
        ...

    def forget_flows(self, addresses: Sequence[IPAddress]) -> None:
        """Drop the connection-tracking entries from and to *addresses*."""
        ...

    def settle(self) -> None:
        """Wait until every link removed so far is physically gone."""
        ...

    def on_repair(self, tell: Callable[[str], None]) -> None:
        """Call *tell* with a sentence each time the rule set had to be put back."""
        ...

    def dump(self) -> str:
        """The state as text: one `ip`/`nft` line a thing, sorted within a namespace.  For people and tests."""
        ...

    def close(self) -> None:
        """Finish pending deletions and give back sockets and threads.  What was made stays."""
        ...
