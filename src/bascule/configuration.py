"""The daemon's options: command line and file, read once, checked, and turned into values.

The file is JSON with the keys of Docker's daemon.json, so that one can be carried over; a flag wins over the file.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from bascule.configuration_file import read
from bascule.drivers import find
from bascule.ipam.pools import decide_pool
from bascule.model.addresses import IPAddress, ip_address, ip_interface, ip_network
from bascule.model.cluster import StoreAccess
from bascule.model.errors import BasculeError, Invalid
from bascule.model.names import check_link_name
from bascule.model.network import NetworkSpec, PoolSpec
from bascule.model.settings import DEFAULT_POOLS, AddressPool, Settings

DEFAULT_HOST = "unix:///run/bascule/bascule.sock"
DEFAULT_CONFIG = "/etc/bascule/daemon.json"
LEVELS = ("debug", "info", "warn", "error")
# What the nft table can be called by (nft's scanner.l: string), which is less than the kernel's for a link.
BRIDGE = re.compile("[A-Za-z0-9_.-]+")
# "This network" and loopback (RFC 1122, 3.2.1.3), multicast and what is reserved above it (RFC 1112, 4).
NOBODYS = tuple(IPv4Network(block) for block in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"))


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything the daemon was told."""

    settings: Settings
    hosts: tuple[str, ...] = (DEFAULT_HOST,)
    pidfile: str = ""
    group: str = ""
    log_level: str = "info"
    log_format: str = "text"
    runtime: str = ""
    conmon: str = "conmon"
    tls: Mapping[str, str] = field(default_factory=dict)
    """cacert, cert, key: paths; all three or none."""
    labels: tuple[str, ...] = ()
    cluster_store: StoreAccess = field(default_factory=StoreAccess)
    cluster_times: tuple[int, float] = (10, 60.0)
    """Seconds: a node's lease, and how long the endpoints of one that has gone stay."""
    etcd: str = "etcd"
    """The program, for a cluster with a store of its own; *cluster_certs*: seconds for which its certificates are
    good."""
    cluster_certs: float = 7 * 86400.0


# key in the file, flag's words, help, several?
KEYS: tuple[tuple[str, str, str, bool], ...] = (
    ("hosts", "--host", "where to listen: unix:///path, fd:// or tcp://address:port (TLS only)", True),
    ("data-root", "--data-root", "what survives a reboot (/var/lib/bascule)", False),
    ("exec-root", "--exec-root", "what need not: namespaces, sockets (/run/bascule)", False),
    ("pidfile", "--pidfile", "file for the process id (EXEC-ROOT/bascule.pid)", False),
    ("group", "--group", "group that may use the Unix socket (docker if there is one, else root)", False),
    ("bridge", "--bridge", "the default network's bridge (bascule0)", False),
    ("bip", "--bip", "the default bridge's address with its prefix", False),
    ("mtu", "--mtu", "MTU of the default network (1500)", False),
    (
        "ip-forward-no-drop",
        "--ip-forward-no-drop",
        "true lets a host that forwards only because of us forward for its neighbours, too (false)",
        False,
    ),
    ("icc", "--icc", "false keeps the default bridge's containers apart but for links (true)", False),
    ("ip", "--ip", "address to publish ports on when none is given", False),
    ("dns", "--dns", "nameserver for containers instead of the host's", True),
    (
        "default-address-pools",
        "--default-address-pool",
        "base=10.0.0.0/8,size=24: where subnets come from",
        True,
    ),
    ("default-network-opts", "--default-network-opt", "driver=key=value: an option every new network gets", True),
    ("log-level", "--log-level", "debug, info, warn or error", False),
    ("log-format", "--log-format", "text or json", False),
    ("runtime", "--runtime", "OCI runtime (crun if it works on this host, else runc)", False),
    ("conmon", "--conmon", "container monitor (conmon)", False),
    ("tlscacert", "--tlscacert", "certificate authority that signed the clients' certificates", False),
    ("tlscert", "--tlscert", "the server's certificate", False),
    ("tlskey", "--tlskey", "the server's key", False),
    ("cluster-store", "--cluster-store", "the cluster's etcd: https://host:2379, several times for several", True),
    ("cluster-store-cacert", "--cluster-store-cacert", "authority that signed its certificates", False),
    ("cluster-store-cert", "--cluster-store-cert", "our certificate for it", False),
    ("cluster-store-key", "--cluster-store-key", "the certificate's key", False),
    ("cluster-store-user", "--cluster-store-user", "our name in it", False),
    ("cluster-store-password-file", "--cluster-store-password-file", "file with our password there", False),
    ("cluster-lease", "--cluster-lease", "seconds without a sign after which a node is suspected (10)", False),
    ("cluster-grace", "--cluster-grace", "seconds after that until its endpoints are taken out (60)", False),
    (
        "cluster-cert-life",
        "--cluster-cert-life",
        "seconds for which certificates signed here are good (7 days)",
        False,
    ),
    ("etcd", "--etcd", "the etcd to run for a cluster with a store of its own (etcd)", False),
    ("labels", "--label", "key=value, shown by info", True),
)


def parser() -> argparse.ArgumentParser:
    """The daemon's command line; its help is the reference that docs/daemon.md is checked against."""
    made = argparse.ArgumentParser(
        prog="bascule daemon",
        description="Serve Docker's Engine API for networks and containers.",
        epilog="Example: bascule daemon --host unix:///run/bascule/bascule.sock --data-root /var/lib/bascule",
    )
    made.add_argument("--config", default="", help=f"JSON file with daemon.json's keys ({DEFAULT_CONFIG})")
    made.add_argument("--validate", action="store_true", help="check options and file, then stop")
    for _, flag, text, several in KEYS:
        extra = ["-H"] if flag == "--host" else []
        made.add_argument(flag, *extra, action="append" if several else "store", default=None, help=text)
    return made


def load(arguments: argparse.Namespace) -> Configuration:
    """Flags over the file over the defaults.  Raises Invalid naming the key that is wrong."""
    told = _file(arguments.config)
    for key, flag, _, _ in KEYS:
        value = getattr(arguments, flag.removeprefix("--").replace("-", "_"))
        if value is not None:
            told[key] = value
    return build(told)


def _file(path: str) -> dict[str, Any]:
    chosen = Path(path or DEFAULT_CONFIG)
    return read(chosen) if path or chosen.exists() else {}


def build(told: Mapping[str, Any]) -> Configuration:
    """A configuration from the file's keys.  Raises Invalid."""
    settings = _settings(told)
    tls = {k: str(told[f"tls{k}"]) for k in ("cacert", "cert", "key") if told.get(f"tls{k}")}
    if tls and len(tls) != 3:
        raise Invalid("TLS: --tlscacert, --tlscert and --tlskey go together")
    hosts = tuple(told.get("hosts") or (DEFAULT_HOST,))
    for host in hosts:
        if not re.match(r"(unix://|fd://|tcp://)", host):
            raise Invalid(f"invalid host {host!r}: unix://, fd:// or tcp:// is expected")
        if host.startswith("tcp://") and not tls:
            raise Invalid(
                f"{host}: the API is root on this machine: TCP is served with client certificates only"
                " (--tlscacert, --tlscert, --tlskey)"
            )
    return Configuration(
        settings=settings,
        hosts=hosts,
        pidfile=str(told.get("pidfile") or f"{settings.exec_root}/bascule.pid"),
        group=str(told.get("group", "")),
        log_level=_one_of(told, "log-level", LEVELS),
        log_format=_one_of(told, "log-format", ("text", "json")),
        runtime=str(told.get("runtime", "")),
        conmon=str(told.get("conmon", "conmon")),
        tls=tls,
        labels=tuple(told.get("labels", ())),
        cluster_store=_store(told),
        cluster_times=(max(1, int(_seconds(told, "cluster-lease", 10))), _seconds(told, "cluster-grace", 60)),
        etcd=str(told.get("etcd", "etcd")),
        cluster_certs=_seconds(told, "cluster-cert-life", 7 * 86400),
    )


def _store(told: Mapping[str, Any]) -> StoreAccess:
    def text(key: str) -> str:
        return str(told.get(f"cluster-store{key}", ""))

    password = ""
    if text("-password-file"):
        try:
            password = Path(text("-password-file")).read_text().strip()
        except OSError as why:
            raise Invalid(f"cluster-store-password-file: {why}") from why
    return StoreAccess(
        tuple(told.get("cluster-store", ())), text("-user"), password, text("-cacert"), text("-cert"), text("-key")
    )


def _seconds(told: Mapping[str, Any], key: str, default: int) -> float:
    try:
        found = float(told.get(key, default))
    except (TypeError, ValueError):
        found = -1
    if not 0 < found < 1e8:
        raise Invalid(f"invalid {key} {told.get(key)!r}: seconds are expected")
    return found


_DEFAULTS = {"log-level": "info", "log-format": "text", "icc": "true", "ip-forward-no-drop": "false"}


def _one_of(told: Mapping[str, Any], key: str, allowed: Sequence[str]) -> str:
    # JSON's true is True here, and "true" on the command line.
    value = str(told.get(key, _DEFAULTS[key])).replace("True", "true").replace("False", "false")
    if value not in allowed:
        raise Invalid(f"invalid {key} {value!r}: one of {', '.join(allowed)}")
    return value


def _settings(told: Mapping[str, Any]) -> Settings:
    base = Settings()
    bridge = str(told.get("bridge", base.bridge))
    check_link_name(bridge)
    if not BRIDGE.fullmatch(bridge):
        raise Invalid(f"invalid bridge {bridge!r}: letters, digits, '_', '.' and '-' are allowed")
    try:
        mtu = int(told.get("mtu", base.mtu))
    except ValueError as why:
        raise Invalid(f"invalid MTU number: {told.get('mtu')}") from why
    if not 68 <= mtu <= 65535:
        raise Invalid(f"invalid MTU number: {mtu}")
    return replace(
        base,
        data_root=_directory(told, "data-root", base.data_root),
        exec_root=_directory(told, "exec-root", base.exec_root),
        bridge=bridge,
        bip=_bip(told["bip"]) if told.get("bip") else "",
        mtu=mtu,
        icc=_one_of(told, "icc", ("true", "false")) == "true",
        router=_one_of(told, "ip-forward-no-drop", ("true", "false")) == "true",
        pools=_pools(told.get("default-address-pools", ())),
        default_options=_options(told.get("default-network-opts", ())),
        publish_host=_address(told["ip"]) if told.get("ip") else None,
        nameservers=tuple(_address(text) for text in told.get("dns", ())),
    )


def _directory(told: Mapping[str, Any], key: str, default: str) -> str:
    path = told.get(key, default)
    if not path:
        raise Invalid(f"invalid {key} '': a directory is expected")
    return str(Path(path).absolute())


def _bip(text: str) -> str:
    """An address that the default bridge can have.  What is no address is told in dockerd's words, and so is one
    that is nobody's in its own subnet."""
    try:
        # ipaddress takes "10.0.0.1" and "10.0.0.1/255.0.0.0", too; CIDR notation is one number after a slash.
        if not text.partition("/")[2].isdecimal():
            raise ValueError(text)
        own = ip_interface(text)
    except ValueError as why:
        raise Invalid(f"invalid bip: invalid CIDR address: {text}") from why
    if not isinstance(own, IPv4Interface):
        raise Invalid(f"invalid bip {text}: an IPv4 address is expected, the default bridge has no IPv6")
    if any(own.network.overlaps(block) for block in NOBODYS):
        blocks = ", ".join(map(str, NOBODYS))
        raise Invalid(f"invalid bip {text}: containers cannot have addresses in {blocks}")
    if own.network.prefixlen == own.network.max_prefixlen:
        raise Invalid(f"invalid bip {text}: {own.network} has no address for a container")
    try:
        decide_pool(PoolSpec(subnet=own.network, gateway=own.ip), ())
    except BasculeError as refusal:
        raise Invalid(f"invalid bip {text}: {refusal}") from refusal
    return str(own)


def _address(text: str) -> IPAddress:
    try:
        return ip_address(text)
    except ValueError as why:
        raise Invalid(f"invalid IP address: {text}") from why


def _pools(told: Sequence[Any]) -> tuple[AddressPool, ...]:
    pools = []
    for one in told:
        fields = dict(part.split("=", 1) for part in one.split(",") if "=" in part) if isinstance(one, str) else one
        try:
            pool = AddressPool(ip_network(fields["base"]), int(fields["size"]))
        except (KeyError, ValueError, TypeError) as why:
            raise Invalid(f"invalid default address pool {one!r}: base=10.0.0.0/8,size=24 is the form") from why
        if not pool.base.prefixlen <= pool.size <= pool.base.max_prefixlen - 2:
            raise Invalid(f"invalid default address pool {one!r}: size {pool.size} does not fit {pool.base}")
        pools.append(pool)
    return tuple(pools) or DEFAULT_POOLS


def _options(told: Any) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    if isinstance(told, dict):
        found = {driver: dict(options) for driver, options in told.items()}
    else:
        for one in told:
            parts = str(one).split("=", 2)
            if len(parts) != 3:
                raise Invalid(f"invalid default network option {one!r}: driver=key=value is the form")
            found.setdefault(parts[0], {})[parts[1]] = parts[2]
    for driver, options in found.items():
        _check_options(driver, options)
    return found


def _check_options(driver: str, options: Mapping[str, str]) -> None:
    """A network can be made with them.  Some are for internal networks alone, which is fine."""
    refusals: list[BasculeError] = []
    for internal in (False, True):
        try:
            find(driver).check(NetworkSpec("any", driver=driver, options=options, internal=internal))
        except BasculeError as refusal:
            refusals.append(refusal)
    if len(refusals) == 2:
        said = ", ".join(f"{key}={value}" for key, value in options.items())
        raise Invalid(f"invalid default network options of {driver} ({said}): {refusals[0]}")
