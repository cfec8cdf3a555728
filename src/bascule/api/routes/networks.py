"""Networks: list, inspect, create, remove, prune, connect, disconnect."""

from collections.abc import Callable
from functools import partial

from bascule.api.ask import JSON, TEXT, Ask, Reply, empty, lines, reply
from bascule.api.shapes import endpoint, network, values
from bascule.api.shapes import network_answer as answer
from bascule.api.shapes.filters import PRUNE, wanted
from bascule.api.table import DRY_RUN, Media, Route, filters, flag, text
from bascule.engine import warnings
from bascule.engine.leasing import seen
from bascule.model.endpoint import Endpoint
from bascule.model.network import Network
from bascule.model.typed import made


def _members(ask: Ask, net: Network) -> dict[str, Endpoint]:
    owners = {box.id: box.container for box in ask.engine.sandboxes()}
    ends = ask.engine.endpoints(network=net.id)
    return {owners.get(ep.sandbox) or f"ep-{ep.id}": seen(ask.engine.kernel, net, ep) for ep in ends}


async def listing(ask: Ask) -> Reply:
    # Reading the store waits for nobody; a filter is the client's regular expression, and may take its time.
    if "filters" in ask.exchange.request.query or ask.version < (1, 28):
        return await ask.call(lambda: _chosen(ask))
    return Reply(200, ask.house.listed.body(ask.engine.networks()), JSON)


def _chosen(ask: Ask) -> Reply:
    asked = ask.filters(network.LIST)
    used = {ep.network: ep for ep in ask.engine.endpoints()} if "dangling" in asked else {}
    found = network.matching(ask.engine.networks(), asked, used)
    if ask.version >= (1, 28):
        return reply([network.show(net) for net in found])
    return reply([network.show(net, _members(ask, net)) for net in found])


def inspect(ask: Ask) -> Reply:
    values.strict_truth("verbose", ask.text("verbose"))
    net = ask.engine.network(ask.name)
    return reply(network.show(net, _members(ask, net), ask.engine.status(net), ask.engine.shared.peers(net)))


def create(ask: Ask) -> Reply:
    spec = network.spec(ask.body(network.NetworkBody))
    if ask.flag("dryRun"):
        return lines(made(ask.engine.plan(spec), ask.engine.settings.table))
    net = ask.engine.create(spec)
    return reply({"Id": net.id, "Warning": "; ".join(warnings.of_network(ask.engine.kernel, net))}, 201)


def remove(ask: Ask) -> Reply:
    if ask.flag("dryRun"):
        return lines(ask.engine.plan_remove(ask.name))
    ask.engine.remove(ask.name)
    return empty()


def prune(ask: Ask) -> Reply:
    asked, now = ask.filters(PRUNE), ask.house.now()

    def meant(net: Network) -> bool:
        return wanted(asked, net.labels, net.created, now)

    if ask.flag("dryRun"):
        return lines(ask.engine.plan_prune(meant))
    gone = ask.engine.prune(meant)
    return reply({"NetworksDeleted": [net.name for net in gone] or None})


def _plan(ask: Ask, ref: str, plan: Callable[[str, str], list[str]]) -> list[str]:
    found = ask.containers.container(ref)
    if found.sandbox:
        return plan(ask.name, found.sandbox)
    net = ask.engine.network(ask.name)
    return [f"# {found.name} does not run: {net.name} is noted for its next start, and nothing is done now"]


def connect(ask: Ask) -> Reply:
    body = ask.body(endpoint.ConnectBody)
    ref, spec = endpoint.container_ref(body), endpoint.spec(body.EndpointConfig)
    if ask.flag("dryRun"):
        return lines(_plan(ask, ref, partial(ask.engine.plan_connect, spec=spec)))
    ask.containers.connect(ask.name, ref, spec)
    return empty(200)


def disconnect(ask: Ask) -> Reply:
    body = ask.body(endpoint.ConnectBody)
    ref = endpoint.container_ref(body)
    if ask.flag("dryRun"):
        return lines(_plan(ask, ref, ask.engine.plan_disconnect))
    ask.containers.disconnect(ask.name, ref, force=bool(body.Force))
    return empty(200)


ROUTES = (
    Route(
        "GET",
        "/networks",
        listing,
        says="List networks",
        query=(filters(network.LIST),),
        gives={200: list[answer.Network]},
    ),
    Route(
        "POST",
        "/networks/create",
        create,
        "json",
        says="Create a network",
        query=(DRY_RUN,),
        takes=network.NetworkBody,
        gives={201: answer.NetworkCreated, 200: Media((TEXT,))},
        refuses=(403, 404, 409),
    ),
    Route(
        "POST",
        "/networks/prune",
        prune,
        says="Remove the networks that nothing is connected to",
        query=(filters(PRUNE), DRY_RUN),
        gives={200: (answer.NetworksPruned, Media((TEXT,)))},
    ),
    Route(
        "GET",
        "/networks/{name}",
        inspect,
        says="Inspect a network",
        query=(
            flag("verbose", "Without effect: what is told is everything."),
            text("scope", "Without effect: every network is local."),
        ),
        gives={200: answer.Network},
    ),
    Route(
        "DELETE",
        "/networks/{name}",
        remove,
        says="Remove a network",
        query=(DRY_RUN,),
        gives={204: None, 200: Media((TEXT,))},
        refuses=(403, 409),
    ),
    Route(
        "POST",
        "/networks/{name}/connect",
        connect,
        "json",
        says="Connect a container to a network",
        query=(DRY_RUN,),
        takes=endpoint.ConnectBody,
        gives={200: (None, Media((TEXT,)))},
        refuses=(403, 409),
    ),
    Route(
        "POST",
        "/networks/{name}/disconnect",
        disconnect,
        "json",
        says="Disconnect a container from a network",
        query=(DRY_RUN,),
        takes=endpoint.ConnectBody,
        gives={200: (None, Media((TEXT,)))},
        refuses=(403, 409),
    ),
)
