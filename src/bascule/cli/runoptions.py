"""The options of `run` and `create`: Docker's names, and the checks of Docker's client when it reads them."""

from collections.abc import Callable
from typing import Any

from bascule.cli.mounts import parse_mount
from bascule.cli.options import label
from bascule.cli.units import parse_cpus, parse_duration, parse_size
from bascule.cli.wishes import parse_network

OPTIONS = """
        --add-host list                A name and its address, host:address; host-gateway is this host
        --annotation map               A note for the OCI runtime, key=value
    -a, --attach list                  Attach STDIN, STDOUT or STDERR
        --cap-add list                 Add a capability
        --cap-drop list                Take a capability away
        --cgroup-parent string         The cgroup to be below
        --cgroupns string              The cgroup namespace: host or private
        --cidfile string               Write the container's id to this file
        --cpu-period int               The period of the CPU limit, in microseconds
        --cpu-quota int                The part of the period that it may run, in microseconds
    -c, --cpu-shares int               The weight against other containers
        --cpus decimal                 How many processors, e.g. 1.5
        --cpuset-cpus string           Which processors, e.g. 0-3 or 0,1
        --cpuset-mems string           Which memory nodes, e.g. 0-3 or 0,1
        --detach-keys string           The keys that leave the container running, e.g. ctrl-p,ctrl-q
        --device list                  A device of the host, path[:path[:rwm]]
        --dns list                     A name server to ask instead of the host's
        --dns-option list              An option of the resolver
        --dns-search list              A domain to search names in
        --domainname string            The container's NIS domain
        --dry-run                      Print the lines that its start is to the networks, and do nothing
        --entrypoint string            Instead of the image's entry point
    -e, --env list                     A variable, NAME=value, or NAME to pass on the own one
        --env-file list                A file of variables, one a line
        --expose list                  A port, or a range, that the container serves
        --group-add list               One more group
        --health-cmd string            Command that tells whether it is healthy
        --health-interval duration     Time between two health checks
        --health-retries int           Failures in a row until it is unhealthy
        --health-start-period duration   Time to start in, before failures count
        --health-timeout duration      How long a health check may take
    -h, --hostname string              The container's host name
        --init                         Run a small init that reaps processes and passes signals on
    -i, --interactive                  Keep the standard input open
        --ip string                    Its IPv4 address
        --ip6 string                   Its IPv6 address
        --ipc string                   Whose IPC to use
    -l, --label list                   Metadata, key=value
        --label-file list              A file of metadata, one a line
        --link list                    A container to know under another name, container:alias
        --link-local-ip list           A link-local address
        --log-driver string            Where its output is kept
        --log-opt list                 An option for that, key=value
        --mac-address string           Its MAC address
    -m, --memory bytes                 The most memory, e.g. 512m
        --memory-reservation bytes     The memory that it gets in any case
        --memory-swap bytes            Memory and swap together; -1: no limit
        --mount mount                  A mount, type=bind,source=/a,target=/b,readonly
        --name string                  The container's name
        --network network              A network, or name=…,ip=…,alias=…; may be given again
        --network-alias list           Another name for the container on its network
        --no-healthcheck               Without the image's health check
        --oom-kill-disable             Not killed when memory runs out
        --oom-score-adj int            How likely it is killed when memory runs out, -1000 to 1000
        --pid string                   Whose processes to see
        --pids-limit int               The most processes; -1: no limit
        --platform string              Which variant of the image, os/arch
        --privileged                   Nearly everything that root of the host may
    -p, --publish list                 A port for the world, [address:][port:]port[/protocol], or ranges
    -P, --publish-all                  Publish every exposed port on a free one
        --pull string=missing          Pull the image first: always, missing, never
    -q, --quiet                        No word of a pull
        --read-only                    The container's root cannot be written
        --restart string=no            Start it again: no, always, unless-stopped, on-failure[:times]
        --rm                           Remove it, and its nameless volumes, when it ends
        --runtime string               The OCI runtime
        --security-opt list            An option of the security modules
        --shm-size bytes               How large /dev/shm is
        --stop-signal string           The signal that stops it
        --stop-timeout int             Seconds until it is killed, once asked to stop
        --storage-opt list             An option of the storage, key=value
        --sysctl map                   A kernel parameter, name=value
        --tmpfs list                   A directory in memory, path[:options]
    -t, --tty                          With a terminal
        --ulimit ulimit                A limit, name=soft[:hard]
    -u, --user string                  User, or id, and group, name[:group]
        --userns string                Whose user namespace
        --uts string                   Whose UTS namespace
    -v, --volume list                  A path or volume to mount, source:target[:options]
        --volume-driver string         Who makes its volumes
        --volumes-from list            The volumes of another container
    -w, --workdir string               The directory to start in
        --dns-opt list>dns-option
        --net network>network
        --net-alias list>network-alias
"""


def _add_host(text: str) -> str:
    name, eq, address = text.partition("=" if "=" in text else ":")
    if not eq or not name or not address:
        raise ValueError(f'bad format for add-host: "{text}"')
    if len(address) > 2 and address[0] == "[" and address[-1] == "]":
        address = address[1:-1]
    if address != "host-gateway":
        try:
            _address(address)
        except ValueError:
            raise ValueError(f'invalid IP address in add-host: "{address}"') from None
    return f"{name}:{address}"


def _address(text: str) -> str:
    from ipaddress import ip_address

    try:
        return str(ip_address(text.strip()))
    except ValueError:
        raise ValueError(f"IP address is not correctly formatted: {text}") from None


def _link(text: str) -> str:
    name, _, alias = text.partition(":")
    if not text or not name or alias.count(":"):
        raise ValueError(f"bad format for links: {text}")
    return text


def _attach(text: str) -> str:
    if text.lower() not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def _env(text: str) -> str:
    if not text or text.startswith("="):
        raise ValueError(f"invalid environment variable: {text}")
    return text


LIMITS = """
core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack
"""


def _ulimit(text: str) -> dict[str, Any]:
    name, eq, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    if not eq or not limits:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in LIMITS.split():
        raise ValueError(f"invalid ulimit type: {name}")
    try:
        low, high = int(soft), int(hard if colon else soft)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{soft}": invalid syntax') from None
    if high != -1 and (low > high or low == -1):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {low} > {high}")
    return {"Name": name, "Soft": low, "Hard": high}


def _device(text: str) -> dict[str, str]:
    parts = text.split(":")
    source = parts[0]
    mode = parts[-1] if len(parts) > 1 and set(parts[-1]) <= set("rwm") else ""
    target = parts[1] if len(parts) > 1 and parts[1] != mode else source
    if not text or len(parts) > 3 or not target.startswith("/"):
        raise ValueError(f"bad format for path: {text}")
    return {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": mode or "rwm"}


def _sysctl(text: str) -> str:
    if not text.partition("=")[1]:
        raise ValueError(f"sysctl '{text}' is not allowed")
    return text


def _swap(text: str) -> int:
    return -1 if text == "-1" else parse_size(text)


CHECKS: dict[str, Callable[[str], Any]] = {
    "add-host": _add_host,
    "attach": _attach,
    "cpus": parse_cpus,
    "device": _device,
    "dns": _address,
    "env": _env,
    "health-interval": parse_duration,
    "health-start-period": parse_duration,
    "health-timeout": parse_duration,
    "label": label,
    "link": _link,
    "memory": parse_size,
    "memory-reservation": parse_size,
    "memory-swap": _swap,
    "mount": parse_mount,
    "network": parse_network,
    "shm-size": parse_size,
    "sysctl": _sysctl,
    "ulimit": _ulimit,
}
