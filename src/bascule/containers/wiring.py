"""Wiring: which networks a container wishes for, and how it gets on them, in the engine's terms."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

from bascule.containers.links import Link, parse
from bascule.containers.records import Records, running
from bascule.engine import warnings
from bascule.engine.change import Beside
from bascule.engine.engine import Engine
from bascule.engine.gateways import WAY_OUT
from bascule.engine.intent import GATEWAY
from bascule.engine.leasing import seen
from bascule.model.addresses import IPAddress
from bascule.model.container import Container, ContainerSpec, Image
from bascule.model.endpoint import Endpoint, EndpointSpec, PortSpec, Proto
from bascule.model.errors import BasculeError, Conflict, Failed, Invalid, KernelError, NotFound
from bascule.model.events import Event
from bascule.model.network import Network
from bascule.model.sandbox import SandboxSpec

log = logging.getLogger(__name__)

DEFAULT = "bridge"
PASSIVE = ("host", "none")


@dataclass(frozen=True, slots=True)
class Wired:
    """A container's place: its sandbox's id ("" where it has none), the OCI namespace ("host" or a path), and the
    container whose namespace it shares."""

    sandbox: str = ""
    network: str = "host"
    shared: Container | None = None


def mode(spec: ContainerSpec) -> str:
    """The network mode; `default` is `bridge`."""
    return DEFAULT if spec.network_mode in ("", "default") else spec.network_mode


def sharing(spec: ContainerSpec) -> str:
    """The container whose namespace is joined, "" for none."""
    return mode(spec).removeprefix("container:") if mode(spec).startswith("container:") else ""


def check(spec: ContainerSpec) -> None:
    """Raises Invalid, in Docker's words, for what does not go together with the mode."""
    name = mode(spec)
    if name == "container" or name == "container:":
        raise Invalid("invalid network mode: invalid container format container:<name|id>")
    if name == "host" and spec.links:
        raise Invalid("host type networking can't be used with links. This would result in undefined behavior")
    if spec.uts_mode == "host" and spec.hostname:
        raise Invalid("conflicting options: hostname and the UTS mode")
    for server in spec.dns:
        _address(server)
    if not name.startswith("container:"):
        return
    if spec.links:
        raise Invalid("container type network can't be used with links. This would result in undefined behavior")
    conflicts = {
        "hostname and the network mode": spec.hostname,
        "dns and the network mode": spec.dns,
        "custom host-to-IP mapping and the network mode": spec.extra_hosts,
        "mac-address and the network mode": spec.mac,
        "port publishing and the container type network mode": spec.ports or spec.publish_all,
        "port exposing and the container type network mode": spec.exposed,
    }
    for what, given in conflicts.items():
        if given:
            raise Invalid(f"conflicting options: {what}")


def _address(text: str) -> IPAddress:
    try:
        return ip_address(text)
    except ValueError:
        raise Invalid(f"invalid argument: {text} is not an ip address") from None


def wishes(spec: ContainerSpec) -> dict[str, EndpointSpec]:
    """The networks that *spec* asks for, its mode's first; with the container-wide MAC and links on that one."""
    name = mode(spec)
    if name.startswith("container:"):
        return {}
    given = {DEFAULT if key in ("", "default") else key: wish for key, wish in spec.networks.items()}
    first = given.pop(name, EndpointSpec())
    if name in PASSIVE:
        return {name: first}
    if spec.mac and not first.mac:
        first = replace(first, mac=spec.mac)
    first = replace(first, links=tuple(dict.fromkeys((*first.links, *spec.links))))
    return {name: first, **given}


def exposed(spec: ContainerSpec, image: Image) -> tuple[tuple[Proto, int], ...]:
    published = ((port.proto, port.port) for port in spec.ports)
    return tuple(dict.fromkeys((*image.config.exposed, *spec.exposed, *published)))


def ports(spec: ContainerSpec, image: Image) -> tuple[PortSpec, ...]:
    """What is published: what was said, and with -P all the rest that is exposed."""
    said = {(port.proto, port.port) for port in spec.ports}
    if not spec.publish_all:
        return spec.ports
    rest = (PortSpec(number, proto) for proto, number in exposed(spec, image) if (proto, number) not in said)
    return (*spec.ports, *rest)


def own_resolver(live: Iterable[tuple[Network, Endpoint]]) -> bool:
    """Whether 127.0.0.11 answers: on any network of the user's own."""
    return any(not (net.predefined and net.name == DEFAULT) for net, _ in live)


class Wiring:
    """Containers on the engine's networks."""

    def __init__(self, engine: Engine, records: Records) -> None:
        self._engine = engine
        self._records = records

    def warnings(self, spec: ContainerSpec) -> list[str]:
        """About what a container like that will not have on its networks."""
        nets = [(self._known(name), wish) for name, wish in wishes(spec).items() if name not in PASSIVE]
        known = [(net, wish) for net, wish in nets if net is not None and not net.config_only]
        return warnings.of_ports(known) if spec.ports or spec.publish_all else []

    def settled(self, spec: ContainerSpec) -> ContainerSpec:
        """*spec* with the id of the container whose namespace it shares, if there is that one.  Raises Invalid for
        what could not be connected to a network that is there, and for a link to nobody."""
        for name, wish in wishes(spec).items():
            net = self._known(name)
            if net is None or net.config_only or name in PASSIVE:
                continue
            try:
                self._engine.check_endpoint(net, wish)
            except Invalid as error:
                raise Invalid(f"invalid config for network {name}: {error}") from None
        for text in spec.links:
            name, _ = parse(text)
            try:
                other = self._records.find(name)
            except (NotFound, Invalid) as error:
                # Not 404: a client would look for the image.
                raise Invalid(f"could not get container for {name}: {error}") from None
            if mode(other.spec) == "host":
                raise Invalid(
                    "conflicting options: host type networking can't be used with links. This would result in"
                    " undefined behavior"
                )
        if not sharing(spec):
            return spec
        try:
            return replace(spec, network_mode=f"container:{self._records.find(sharing(spec)).id}")
        except NotFound:
            # It may be there at the start.
            return spec

    def open(self, container: Container, image: Image, hostname: str) -> Wired:
        """The container's sandbox exists and is on all its networks; or nothing has changed.  Errors say that it
        was about networking, with the status of their cause."""
        spec = container.spec
        if mode(spec) == "host":
            return Wired()
        if sharing(spec):
            return self._join(sharing(spec))
        ask = SandboxSpec(
            container=container.id,
            name=container.name,
            hostname=hostname,
            ports=ports(spec, image),
            exposed=exposed(spec, image),
            nameservers=tuple(_address(server) for server in spec.dns),
            search=spec.dns_search,
            resolver_options=spec.dns_options,
        )
        sandbox = self._engine.open(ask)
        try:
            for name, wish in container.networks.items():
                if name not in PASSIVE:
                    self._engine.connect(name, sandbox.id, wish)
        except BasculeError as error:
            self._engine.close_sandbox(sandbox.id)
            raise prefixed("failed to set up container networking: ", error) from error
        return Wired(sandbox.id, sandbox.key)

    def _join(self, ref: str) -> Wired:
        try:
            other = self._records.find(ref)
        except NotFound as error:
            raise Failed(f"joining network namespace of container: {error}") from None
        if not running(other.state):
            raise Conflict(
                f"cannot join network namespace of a non running container: container {other.name} is"
                f" {other.state.status}"
            )
        if other.state.status == "restarting":
            raise Conflict(f"container {other.id} is restarting, wait until the container is running")
        return Wired("", f"/proc/{other.state.pid}/ns/net", other)

    def close(self, sandbox: str) -> None:
        if sandbox:
            self._engine.close_sandbox(sandbox)

    def endpoints(self, container: Container) -> dict[str, tuple[EndpointSpec, Endpoint | None]]:
        """By network: what was wished, and what is, while it runs.  Ports that are published by a way out which
        nobody wished for are told with the first."""
        live = self._engine.endpoints(sandbox=container.sandbox) if container.sandbox else []
        found = {}
        elsewhere = next((ep.ports for ep in live if ep.spec == WAY_OUT), ())
        for name, wish in container.networks.items():
            net = self._known(name)
            ep = next((ep for ep in live if net and ep.network == net.id), None)
            if ep and elsewhere:
                ep, elsewhere = replace(ep, ports=elsewhere), ()
            found[net.name if net else name] = (wish, seen(self._engine.kernel, net, ep) if net and ep else None)
        return found

    def live(self, container: Container) -> list[tuple[Network, Endpoint]]:
        """The networks it is on, in the order of their wishes."""
        found = []
        for name, (_, ep) in self.endpoints(container).items():
            net = self._known(name)
            if ep and net:
                found.append((net, ep))
        return found

    def _known(self, name: str) -> Network | None:
        try:
            return self._engine.network(name)
        except BasculeError:
            # Removed since, or not made yet: a wish may name what is not there.
            return None

    def host_gateway(self) -> str:
        """The address at which containers reach the host.  Raises Failed where there is none."""
        for pool in self._engine.network(DEFAULT).pools:
            if pool.gateway:
                return str(pool.gateway)
        raise Failed("unable to derive the IP value for host-gateway: the default bridge has no gateway")

    def links(self, container: Container) -> list[Link]:
        """Its legacy links: those of the default bridge.  Raises Failed for one to a container that is not there
        to be linked to."""
        if mode(container.spec) != DEFAULT:
            return []
        return [self._link(container, text) for text in container.spec.links]

    def _link(self, container: Container, text: str) -> Link:
        name, alias = parse(text)
        other = self._records.find(name)
        if not running(other.state):
            raise Failed(f"Cannot link to a non running container: /{other.name} AS /{container.name}/{alias}")
        owner, met = other, {container.id}
        while sharing(owner.spec) and owner.id not in met:
            met.add(owner.id)
            owner = self._records.find(sharing(owner.spec))
        for net, ep in self.live(owner):
            if net.predefined and net.name == DEFAULT and ep.addresses:
                return Link(alias, other, str(ep.addresses[0].ip), ep.exposed, other.spec.env)
        raise Failed(f"container {owner.id} not attached to default bridge network")

    # ---- connect and disconnect

    def connect(self, network: str, container: Container, wish: EndpointSpec) -> Container:
        """The container wishes for the network; if it runs, it is on it."""
        net = self._engine.network(network)
        self._check_mode(container, net)
        self._engine.check_endpoint(net, wish)
        after = replace(container, networks={**container.networks, net.name: wish})
        if not container.sandbox:
            self._records.save(after)
            self._tell("connect", net, container)
            return after
        self._engine.connect(net.id, container.sandbox, wish, beside=Beside(container, after))
        return after

    def disconnect(self, network: str, container: Container, *, force: bool = False) -> Container:
        """The container no longer wishes for the network, and is not on it.  The network may be gone where the
        container does not run, or with *force*."""
        if (force or not container.sandbox) and self._known(network) is None:
            return self._forget(network, container)
        net = self._engine.network(network)
        if net.driver == "host" and mode(container.spec) == "host":
            raise Invalid(
                "cannot disconnect container from host network - container was created in host network mode"
            )
        # A wish is by name or by an id's beginning, and what is one network's name may be how another's id begins.
        keys = [key for key in container.networks if key == net.name or self._known(key) == net]
        if not keys:
            the = "" if container.sandbox else "the "
            raise Failed(f"container {container.id} is not connected to {the}network {net.name}")
        left: Mapping[str, EndpointSpec] = {k: v for k, v in container.networks.items() if k not in keys}
        after = replace(container, networks=left)
        if not container.sandbox:
            self._records.save(after)
            self._tell("disconnect", net, container)
            return after
        self._engine.disconnect(net.id, container.sandbox, beside=Beside(container, after))
        return after

    def _forget(self, network: str, container: Container) -> Container:
        """It no longer wishes for what is not there, and need not be told of."""
        if network not in container.networks:
            raise Failed(f"container {container.id} is not connected to the network {network}")
        left = {key: wish for key, wish in container.networks.items() if key != network}
        return self._records.save(replace(container, networks=left))

    def agree(self, container: Container) -> Container:
        """The running container is on the networks that it wishes for, and on no others, and answers to its name: a
        crash may have come between a wish and its fulfilment.  A wish that is refused now is dropped."""
        try:
            name = self._engine.sandbox(container.sandbox).name
        except NotFound:
            # Somebody unmounted its namespace: it has no networks until it is started again.
            return container
        if name != container.name:
            self._engine.rename(container.sandbox, container.name)
        wished = {net.id: name for name in container.networks if (net := self._known(name))}
        there = {ep.network for ep in self._engine.endpoints(sandbox=container.sandbox)}
        for ident in there - set(wished):
            if self._engine.network(ident).name == GATEWAY:
                continue  # It comes and goes with the others.
            self._engine.disconnect(ident, container.sandbox)
        for ident, key in wished.items():
            if ident in there:
                continue
            try:
                self._engine.connect(ident, container.sandbox, container.networks[key])
            except BasculeError as refusal:
                log.error("container %s could not be connected to network %s: %s", container.name, key, refusal)
                left = {other: wish for other, wish in container.networks.items() if other != key}
                container = self._records.save(replace(container, networks=left))
        return container

    def _check_mode(self, container: Container, net: Network) -> None:
        name = mode(container.spec)
        if net.driver == "host":
            raise Invalid(
                "cannot connect container to host network - container must be created in host network mode"
            )
        if name == "host" or name.startswith("container:"):
            raise Invalid(
                "container sharing network namespace with another container or host cannot be connected to any"
                " other network"
            )
        if name == "none" or (net.driver == "null" and not net.config_only):
            raise Invalid(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode"
            )

    def _tell(self, action: str, net: Network, container: Container) -> None:
        attributes = {"container": container.id, "name": net.name, "type": net.driver}
        self._engine.events.tell(Event("network", action, net.id, self._records.now(), attributes, net.scope))


def prefixed(words: str, error: BasculeError) -> BasculeError:
    """*error* with its status and *words* before its own."""
    return Failed(f"{words}{error}") if isinstance(error, KernelError) else type(error)(f"{words}{error}")


def hosts_names(container: Container, hostname: str) -> str:
    """The names after an own address in /etc/hosts."""
    domain = container.spec.domainname
    return f"{hostname}.{domain} {hostname}" if domain else hostname
