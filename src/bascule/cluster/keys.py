"""Where what is in the cluster's store: docs/decisions/036.  Whoever changes the layout raises its number; when all
hosts have the new one, the cluster is rebuilt (`cluster rebuild`) out of what they know.

Rights in etcd are for ranges of keys, so what is a node's alone begins with its id or ends in it, and what any
member may write is nowhere below that.
"""

ROOT = "/bascule/v2/"
"""Every member may read all below it."""
IDENTITY = f"{ROOT}cluster"
"""Says which cluster this is; without it nothing is read or written.  Who founds or rebuilds it writes it."""
REBUILDING = f"{ROOT}rebuilding"
ADMISSION = "/bascule/keepers/v2/admission"
"""Where the store is the cluster's own: by which secret hosts join, and how many members the store should have.
Whoever can read it can let in others."""
ADMITTED = "/bascule/keepers/v2/admitted/"
"""There, too: who may come in the next minutes.  With a lease, each."""
SHARED = f"{ROOT}shared/"
"""Networks, nodes and ledgers: every member has all of it in memory."""
NODES = f"{SHARED}node/"
ALIVE = f"{ROOT}alive/"
"""Nodes that live: the only thing with a lease."""
BLOCKS = f"{ROOT}blocks/"
HELD = f"{ROOT}held/"
ENDPOINTS = f"{ROOT}endpoints/"
TOLD = f"{ROOT}told/"
REBUILT = f"{ROOT}rebuilt/"
LEDGERS = f"{ROOT}ledgers/"


# ---- a node's own


def node(ident: str) -> str:
    return f"{NODES}{ident}"


def alive(ident: str) -> str:
    return f"{ALIVE}alive/{ident}"


def blocks(node: str, network: str = "") -> str:
    """Out of which ranges a node gives addresses, of a network or of all."""
    return f"{BLOCKS}{node}/{network}/" if network else f"{BLOCKS}{node}/"


def endpoints(node: str, network: str = "") -> str:
    """What a node has on a network, or on all."""
    return f"{ENDPOINTS}{node}/{network}/" if network else f"{ENDPOINTS}{node}/"


def rebuilt(node: str) -> str:
    """That a node has put in what is its own."""
    return f"{REBUILT}{node}"


# ---- everybody's


def network(ident: str) -> str:
    return f"{SHARED}network/{ident}"


def ledger(what: str) -> str:
    return f"{SHARED}ledger/{what}"


def block_ledger(network: str) -> str:
    """Raised by every taking of a block of the network."""
    return f"{LEDGERS}{network}"


def held(network: str) -> str:
    """The addresses of a network's services."""
    return f"{HELD}{network}/"


def told(network: str) -> str:
    """By node, what changed last of its endpoints: watched by those who are on the network."""
    return f"{TOLD}{network}/"
