"""Several hosts as one: becoming a member, ceasing to be one, and how it is."""

from bascule.api.ask import Ask, Reply, empty, reply
from bascule.api.shapes import cluster as shape
from bascule.api.shapes import cluster_answer as answer
from bascule.api.table import Route, flag


def _enter(ask: Ask, *, found: bool) -> Reply:
    how = shape.joining(ask.body(shape.JoinBody), ask.house.about.hostname, found=found)
    return reply({"NodeID": ask.engine.cluster.join(how).id}, 201)


def init(ask: Ask) -> Reply:
    return _enter(ask, found=True)


def join(ask: Ask) -> Reply:
    return _enter(ask, found=False)


def leave(ask: Ask) -> Reply:
    ask.engine.cluster.leave(force=ask.flag("force"))
    return empty()


def status(ask: Ask) -> Reply:
    now = ask.engine.cluster.status()
    networks = sum(net.scope == "global" for net in ask.engine.networks())
    return reply(shape.status(now, len(ask.engine.cluster.nodes()), networks))


def nodes(ask: Ask) -> Reply:
    return reply([shape.node(seen) for seen in ask.engine.cluster.nodes()])


def inspect(ask: Ask) -> Reply:
    return reply(shape.node(shape.find(ask.engine.cluster.nodes(), ask.name)))


def remove(ask: Ask) -> Reply:
    gone = shape.find(ask.engine.cluster.nodes(), ask.name).node
    ask.engine.cluster.remove(gone.id, force=ask.flag("force"))
    return empty()


def move(ask: Ask) -> Reply:
    ask.engine.cluster.move(shape.address(ask.body(shape.MoveBody).Address))
    return empty()


def rebuild(ask: Ask) -> Reply:
    done = ask.engine.cluster.rebuild()
    return reply({"There": list(done.there), "Missing": list(done.missing)})


def verify(ask: Ask) -> Reply:
    return reply({"Differences": list(ask.engine.cluster.verify())})


def token(ask: Ask) -> Reply:
    return reply(shape.invitation(ask.engine.cluster.invitation()))


def rights(ask: Ask) -> Reply:
    users, founder = shape.users(ask.body(shape.RightsBody))
    return reply({"Lines": list(ask.engine.cluster.rights(users, founder))})


def rotate(ask: Ask) -> Reply:
    return reply(shape.invitation(ask.engine.cluster.invitation(rotate=True)))


_NOT_IN = (503,)

ROUTES = (
    Route(
        "GET",
        "/cluster",
        status,
        says="How this host is with its cluster",
        gives={200: answer.Cluster},
        refuses=_NOT_IN,
    ),
    Route(
        "POST",
        "/cluster/init",
        init,
        "json",
        slow=True,
        says="Found a cluster, with this host as its first member",
        takes=shape.JoinBody,
        gives={201: answer.Joined},
        refuses=(409, 503),
    ),
    Route(
        "POST",
        "/cluster/join",
        join,
        "json",
        slow=True,
        says="Become a member of a cluster",
        takes=shape.JoinBody,
        gives={201: answer.Joined},
        refuses=(409, 503),
    ),
    Route(
        "POST",
        "/cluster/leave",
        leave,
        slow=True,
        says="Cease to be a member",
        query=(flag("force", "Also with containers on its networks, or if the store is away or needs this host."),),
        gives={204: None},
        refuses=(409, 503),
    ),
    Route(
        "GET",
        "/cluster/nodes",
        nodes,
        says="List the cluster's hosts",
        gives={200: list[answer.Node]},
        refuses=_NOT_IN,
    ),
    Route(
        "GET",
        "/cluster/nodes/{name}",
        inspect,
        says="Inspect a host of the cluster",
        gives={200: answer.Node},
        refuses=_NOT_IN,
    ),
    Route(
        "DELETE",
        "/cluster/nodes/{name}",
        remove,
        slow=True,
        says="Remove a host that will not come back from the cluster",
        query=(flag("force", "Also one that is not down."),),
        gives={204: None},
        refuses=(409, 503),
    ),
    Route(
        "POST",
        "/cluster/move",
        move,
        "json",
        slow=True,
        says="Let this host's tunnels end at another of its addresses",
        takes=shape.MoveBody,
        gives={204: None},
        refuses=(409, 503),
    ),
    Route(
        "POST",
        "/cluster/rebuild",
        rebuild,
        slow=True,
        says="Make a store that lost everything anew, out of what the living nodes know",
        gives={200: answer.Rebuilt},
        refuses=(409, 503),
    ),
    Route(
        "POST",
        "/cluster/rights",
        rights,
        "json",
        says="Tell the lines by which the administrator of an etcd lets hosts into it",
        takes=shape.RightsBody,
        gives={200: answer.Rights},
    ),
    Route(
        "GET",
        "/cluster/token",
        token,
        slow=True,
        says="How hosts join a cluster with a store of its own",
        gives={200: answer.Invitation},
        refuses=(409, 503),
    ),
    Route(
        "POST",
        "/cluster/token/rotate",
        rotate,
        slow=True,
        says="Make another token: earlier ones let nobody in any more",
        gives={200: answer.Invitation},
        refuses=(409, 503),
    ),
    Route(
        "GET",
        "/cluster/verify",
        verify,
        slow=True,
        says="Compare the store, what this host knows, and its kernel",
        gives={200: answer.Verified},
        refuses=_NOT_IN,
    ),
)
