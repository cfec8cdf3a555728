"""Names of images: `repository:tag`, in the short form that people type."""

import re
from ipaddress import ip_address

from bascule.model.errors import Invalid

# The reference grammar of the distribution project, without digests.
_REPOSITORY = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
ID = re.compile(r"(?:sha256:)?[0-9a-f]{1,64}")


def normal(name: str) -> str:
    """*name* with its tag and without what everybody leaves out: `docker.io/library/busybox` is
    `busybox:latest`.  Raises Invalid."""
    if "@" in name:
        raise Invalid(f"invalid reference format: {name}: images are known by tags here, not by digests")
    repository, tag = split(name)
    for prefix in ("docker.io/", "index.docker.io/"):
        repository = repository.removeprefix(prefix)
    repository = repository.removeprefix("library/")
    if not _REPOSITORY.fullmatch(repository) or not _TAG.fullmatch(tag):
        if repository.lower() != repository and _REPOSITORY.fullmatch(repository.lower()):
            whole = repository if "/" in repository else f"library/{repository}"
            raise Invalid(f"invalid reference format: repository name ({whole}) must be lowercase")
        raise Invalid("invalid reference format")
    return f"{repository}:{tag}"


def on_loopback(name: str) -> bool:
    """Whether the image's registry is this host's own, at localhost or an address of 127.0.0.0/8."""
    host = name.partition("/")[0]
    if "/" not in name:
        return False
    host = host.partition(":")[0]
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def split(name: str) -> tuple[str, str]:
    """Repository and tag; `latest` where there is none.  The colon of a registry's port is no tag's."""
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return name, "latest"
    return head, tag
