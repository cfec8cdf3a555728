"""Where what is in the cluster's store: docs/decisions/030.  Whoever changes the layout raises its number."""

ROOT = "/bascule/v1/"
IDENTITY = f"{ROOT}cluster"
"""Says which cluster this is; without it nothing is read or written."""
SHARED = f"{ROOT}shared/"
"""Networks, nodes and the ledger: every member has all of it."""
ALIVE = f"{ROOT}alive/"
"""Nodes that live: the only thing with a lease."""
BLOCKS = f"{ROOT}blocks/"
ADMISSION = f"{ROOT}admission"
"""Where the store is the cluster's own: by which secret hosts join, and how many members the store should have."""
ENDPOINTS = f"{ROOT}endpoints/"


def blocks(network: str) -> str:
    """Who gives addresses out of which range of a network."""
    return f"{BLOCKS}{network}/"


def endpoints(network: str) -> str:
    """The endpoints of a network: watched by those who are on it."""
    return f"{ENDPOINTS}{network}/"


def network(ident: str) -> str:
    return f"{SHARED}network/{ident}"
