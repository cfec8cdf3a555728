"""`--publish` and `--expose`, in all of Docker's forms (github.com/docker/go-connections nat)."""

from typing import Any

from bascule.cli.options import UsageError

PROTOCOLS = ("tcp", "udp", "sctp")


def published(specs: list[str]) -> dict[str, list[dict[str, str]]]:
    """The API's PortBindings for what was typed.  Raises UsageError."""
    bindings: dict[str, list[dict[str, str]]] = {}
    for spec in specs:
        for port, host, host_port in _publish(_short(spec) if "=" in spec else spec):
            bindings.setdefault(port, []).append({"HostIp": host, "HostPort": host_port})
    return bindings


def _short(spec: str) -> str:
    """The long form, `published=81,target=80,protocol=tcp`, as the short one."""
    wanted = {"published": "", "target": "", "protocol": ""}
    for field in spec.split(","):
        key, eq, value = field.partition("=")
        if not eq or not value:
            raise UsageError(f"invalid publish opts format (should be name=value but got '{field}')")
        wanted[key] = value
    short = f"{wanted['published']}:{wanted['target']}" if wanted["published"] else wanted["target"]
    return f"{short}/{wanted['protocol']}" if wanted["protocol"] else short


def _publish(spec: str) -> list[tuple[str, str, str]]:
    rest, proto = _protocol(spec)
    *before, container = rest.split(":")
    host_port = before.pop() if before else ""
    host = _address(":".join(before)) if before else ""
    if not container:
        raise UsageError(f"no port specified: {spec}<empty>")
    first, last = _range(container, f"invalid containerPort: {container}")
    host_first, host_last = _range(host_port, f"invalid hostPort: {host_port}") if host_port else (0, 0)
    if host_port and last - first != host_last - host_first and first != last:
        raise UsageError(f"invalid ranges specified for container and host Ports: {container} and {host_port}")
    if proto.lower() not in PROTOCOLS:
        raise UsageError(f"invalid proto: {proto}")
    found = []
    for n in range(last - first + 1):
        text = str(host_first + n) if host_port else ""
        if host_port and first == last and host_first != host_last:
            text = f"{host_first}-{host_last}"
        found.append((f"{first + n}/{proto.lower()}", host, text))
    return found


def _protocol(text: str) -> tuple[str, str]:
    port, slash, proto = text.partition("/")
    return (port, proto) if slash and proto else (port, "tcp")


def _address(text: str) -> str:
    from ipaddress import ip_address

    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ip_address(bare.partition("%")[0] or "0.0.0.0")
    except ValueError:
        raise UsageError(f"invalid IP address: {bare}") from None
    return bare


def _range(text: str, why: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    last = last if dash else first
    if not all(p.isascii() and p.isdigit() and int(p) <= 65535 for p in (first, last)):
        raise UsageError(why)
    if int(last) < int(first):
        raise UsageError(why)
    return int(first), int(last)


def exposed(specs: list[str]) -> dict[str, Any]:
    """The API's ExposedPorts for `--expose`.  Raises UsageError."""
    found: dict[str, Any] = {}
    for spec in specs:
        if ":" in spec:
            raise UsageError(f"invalid port format for --expose: {spec}")
        port, proto = _protocol(spec)
        why = f"invalid range format for --expose: {spec}, error: "
        what = f"invalid range specified for port: {port}" if "-" in port else f"{port} is no port"
        first, last = _range(port, why + what)
        if proto.lower() not in PROTOCOLS:
            raise UsageError(f"invalid proto: {proto}")
        found |= {f"{n}/{proto.lower()}": {} for n in range(first, last + 1)}
    return found
