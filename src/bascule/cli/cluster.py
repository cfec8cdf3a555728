"""`bascule cluster`."""

from __future__ import annotations

from bascule.cli.client import Client, quote
from bascule.cli.command import FORMAT, MANY, Command
from bascule.cli.options import Given

TYPE_CHECKING = False  # As in typing, whose import costs 5 ms: docs/decisions/010.
if TYPE_CHECKING:
    from typing import Any

    from bascule.cli.fields import Fields


def _enter(client: Client, given: Given, path: str, **more: object) -> int:
    body = {"Address": given.text("address"), "Name": given.text("name"), "Store": given.list("store"), **more}
    print(client.post(path, body=body)["NodeID"])
    return 0


def init(client: Client, given: Given) -> int:
    more = {"Port": given.number("port"), "Embedded": given.flag("embedded"), "Members": given.number("members")}
    done = _enter(client, given, "/cluster/init", **more)
    if given.flag("embedded"):
        _show(client.get("/cluster/token"))
    return done


def join(client: Client, given: Given) -> int:
    word = given.text("token")
    if given.text("token-file"):
        from pathlib import Path

        word = Path(given.text("token-file")).read_text().strip()
    remote = given.args[0] if given.args else ""
    return _enter(client, given, "/cluster/join", Token=word, Remote=remote, Client=given.flag("client"))


def token(client: Client, given: Given) -> int:
    found = client.post("/cluster/token/rotate") if given.flag("rotate") else client.get("/cluster/token")
    if given.flag("quiet"):
        print(found["Token"])
    else:
        _show(found)
    return 0


def rights(client: Client, given: Given) -> int:
    body = {"Users": list(given.args), "Founder": given.text("founder")}
    for line in client.post("/cluster/rights", body=body)["Lines"]:
        print(line)
    return 0


def _show(found: dict[str, Any]) -> None:
    print("To add a host to this cluster, run there, with its own address:\n")
    print(f"    bascule cluster join --token {found['Token']} --address ADDRESS {found['Doors'][0]}\n")


def leave(client: Client, given: Given) -> int:
    client.post("/cluster/leave", {"force": "1"} if given.flag("force") else {})
    print("Node left the cluster.")
    return 0


def _fields(*, full: bool) -> Fields:
    return {
        "ID": ("ID", lambda n: n["ID"] if full else n["ID"][:12]),
        "Name": ("NAME", lambda n: n["Name"]),
        "Address": ("ADDRESS", lambda n: n["Address"]),
        "State": ("STATE", lambda n: n["State"]),
        "MTU": ("MTU", lambda n: str(n["MTU"])),
        "Self": ("SELF", lambda n: "*" if n["Self"] else ""),
        "Encryption": ("ENCRYPTION", lambda n: ", ".join(n["Encryption"])),
    }


def ls(client: Client, given: Given) -> int:
    from bascule.cli.table import listing, show

    form = given.text("format")
    if given.flag("quiet") and form in ("", "table"):
        form = "{{.ID}}"
    nodes = client.get("/cluster/nodes")
    show(listing(form, _fields(full=given.flag("no-trunc")), "ID Name Address State MTU Self", nodes), form=form)
    return 0


def inspect(client: Client, given: Given) -> int:
    from bascule.cli.look import inspect_each

    return inspect_each(given, lambda name: client.get(f"/cluster/nodes/{quote(name)}"))


def rm(client: Client, given: Given) -> int:
    from bascule.cli.each import each

    def one(name: str) -> None:
        client.ask("DELETE", f"/cluster/nodes/{quote(name)}", {"force": "1"} if given.flag("force") else {})
        print(name)

    return each(given.args, one)


def status(client: Client, given: Given) -> int:
    found = client.get("/cluster")
    if given.text("format"):
        from bascule.cli.table import inspection

        print(inspection(given.text("format"), [found]), end="")
        return 0
    print(f"Node: {found['Name']} ({found['NodeID'][:12]})")
    print(f"Tunnels: {found['Address']}, UDP port {found['Port']}, MTU {found['MTU']}")
    print(f"Store: {', '.join(found['Store'])}: {found['Trouble'] or 'answers'}")
    print(f"Nodes: {found['Nodes']}")
    print(f"Networks: {found['Networks']}, on this host {found['Joined']}")
    for line in found["Warnings"]:
        print(f"WARNING: {line}")
    return 1 if found["Trouble"] else 0


def move(client: Client, given: Given) -> int:
    client.post("/cluster/move", body={"Address": given.text("address")})
    return 0


def rebuild(client: Client, _: Given) -> int:
    done = client.post("/cluster/rebuild")
    print(f"Rebuilt by: {', '.join(done['There'])}")
    if done["Missing"]:
        print(f"Not heard of: {', '.join(done['Missing'])}")
    return 0


def verify(client: Client, _: Given) -> int:
    found = client.get("/cluster/verify")["Differences"]
    for line in found:
        print(line)
    return 1 if found else 0


_WHERE = """
        --address ip    This host's address, where its tunnels end
        --name string   Name of this node (its host name)
        --store list    The cluster's etcd: https://host:2379, several times for several (what the daemon was told)
"""

COMMANDS = {
    "cluster init": Command(
        init,
        "[OPTIONS]",
        "Found a cluster, with this host as its first member",
        _WHERE
        + """
        --port int      UDP port of the tunnels (4789)
        --embedded      With a store of its own: etcd runs on this host, and on those that join first
        --members int   How many hosts of such a cluster have a member of the store: 1, 3 or 5 (3)
""",
        examples="bascule cluster init --address 10.0.0.1 --store http://10.0.0.9:2379\n"
        "# etcd is the cluster's own; what it prints adds other hosts\n"
        "bascule cluster init --address 10.0.0.1 --embedded",
    ),
    "cluster join": Command(
        join,
        "[OPTIONS] [HOST[:PORT]]",
        "Become a member of a cluster",
        _WHERE
        + """
        --token string        Lets in to a cluster with a store of its own, whose HOST is asked (port 2377)
        --token-file string   A file with the token in it
        --client              Not to have a member of that store, however few there are
""",
        args=(0, 1),
        examples="bascule cluster join --address 10.0.0.2 --store http://10.0.0.9:2379\n"
        "bascule cluster join --address 10.0.0.2 --token-file token 10.0.0.1",
    ),
    "cluster token": Command(
        token,
        "[OPTIONS]",
        "Show what lets hosts join a cluster with a store of its own",
        """
    -q, --quiet    Show the token alone
        --rotate   Make another one first: earlier ones let nobody in any more
""",
        examples="bascule cluster token --rotate",
    ),
    "cluster rights": Command(
        rights,
        "[OPTIONS] USER [USER...]",
        "Print what lets users of an etcd be hosts of a cluster, each with rights to what is its own",
        "        --founder string   The user of the host that founds the cluster, and may rebuild it (the first)\n",
        args=(1, MANY),
        examples="bascule cluster rights host1 host2 host3 | sh",
        long="For an etcd that is there, has these users and its authentication on; lines of etcdctl for its\n"
        "administrator.  In a store of the cluster's own hosts have such rights by themselves.",
    ),
    "cluster leave": Command(
        leave,
        "[OPTIONS]",
        "Cease to be a member",
        "    -f, --force   Also with containers on its networks, or where the store is away or needs this host\n",
        examples="bascule cluster leave",
    ),
    "cluster ls": Command(
        ls,
        "[OPTIONS]",
        "List the cluster's hosts",
        FORMAT
        + """
        --no-trunc   Show whole ids
    -q, --quiet      Show ids alone
""",
        examples="bascule cluster ls",
    ),
    "cluster inspect": Command(
        inspect,
        "[OPTIONS] NODE [NODE...]",
        "Show all that is known of hosts of the cluster",
        "    -f, --format string   Print with a Go template, or 'json'\n",
        args=(1, MANY),
        examples="bascule cluster inspect -f '{{.State}}' host2",
    ),
    "cluster rm": Command(
        rm,
        "[OPTIONS] NODE [NODE...]",
        "Remove hosts that will not come back from the cluster",
        "    -f, --force   Also one that is not down\n",
        args=(1, MANY),
        examples="bascule cluster rm host3",
        long="What such a host had, addresses, its name and its member of the cluster's own store, is anybody's\n"
        "then.  One that comes back all the same leaves with --force, and joins again.",
    ),
    "cluster status": Command(
        status,
        "[OPTIONS]",
        "Show how this host is with its cluster",
        "    -f, --format string   Print with a Go template, or 'json'\n",
        examples="bascule cluster status",
        long="The exit status is 1 where the store does not answer.",
    ),
    "cluster move": Command(
        move,
        "[OPTIONS]",
        "Let this host's tunnels end at another of its addresses",
        "        --address ip   The address, which the host has already\n",
        examples="bascule cluster move --address 10.0.0.7",
    ),
    "cluster rebuild": Command(
        rebuild,
        "",
        "Make a store that lost everything anew, out of what the living nodes know",
        examples="bascule cluster rebuild",
        long="For an etcd that was wiped, or restored from nothing; and for a store of the cluster's own that\n"
        "lost most of its members, on a host that has one.  Until then all hosts go on as they are.",
    ),
    "cluster verify": Command(
        verify,
        "",
        "Compare the store, what this host knows, and its kernel",
        examples="bascule cluster verify",
        long="A line for everything that is stale or missing, and then the exit status is 1.\n"
        "What is on its way at this moment is among it.",
    ),
}
