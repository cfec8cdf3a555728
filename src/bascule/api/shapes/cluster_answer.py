"""What answers say of a cluster: the functions beside build these; /openapi.json is made of them."""

from typing import TypedDict


class Node(TypedDict):
    """A host of the cluster.  State is ready, suspect, down or unknown; Self is this one; Encryption is what it can
    encrypt with, wireguard and esp."""

    ID: str
    Name: str
    Address: str
    MTU: int
    Joined: str
    State: str
    Self: bool
    Encryption: list[str]


class Cluster(TypedDict):
    """This host's membership.  Trouble is "" where the store answers; Warnings are of networks whose packets do not
    fit the links of all hosts."""

    NodeID: str
    Name: str
    Address: str
    MTU: int
    Port: int
    Store: list[str]
    Trouble: str
    Nodes: int
    Networks: int
    Joined: int
    Warnings: list[str]


class Joined(TypedDict):
    NodeID: str


class Rebuilt(TypedDict):
    """Nodes that put in what they had, and those that did not in time."""

    There: list[str]
    Missing: list[str]


class Invitation(TypedDict):
    """What lets hosts join, and the hosts that let them in."""

    Token: str
    Doors: list[str]


class Rights(TypedDict):
    """What is typed, line by line."""

    Lines: list[str]


class Verified(TypedDict):
    """A line for everything that is stale or missing."""

    Differences: list[str]
