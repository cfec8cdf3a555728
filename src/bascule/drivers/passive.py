"""host and null: networks that make nothing.  The least a driver is; docs/drivers.md adds to it step by step."""

# ruff: noqa: ARG002 -- a driver has the same functions whether or not it looks at everything.

from dataclasses import dataclass

from bascule.drivers.protocol import Chosen, Traits
from bascule.model.endpoint import Endpoint
from bascule.model.network import Network, NetworkSpec
from bascule.model.thing import Thing


@dataclass(slots=True)
class Passive:
    """A network that containers are on by having its namespace (host), or nothing but their own (null)."""

    TRAITS: Traits

    def check(self, spec: NetworkSpec) -> Chosen:
        return Chosen(has_gateway=(False, False))

    def check_endpoint(self, net: Network, options: dict[str, str]) -> str:
        return ""

    def network(self, net: Network) -> list[Thing]:
        return []

    def endpoint(self, net: Network, ep: Endpoint) -> list[Thing]:
        return []


host = Passive(Traits("host", single=True, connects=False, prefix=""))
null = Passive(Traits("null", single=True, connects=False, prefix=""))
