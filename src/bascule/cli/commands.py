"""The index of commands: which module has which.  Nothing is imported until a command is typed."""

NOUNS = {
    "cluster": "Manage several hosts as one",
    "container": "Manage containers",
    "image": "Manage images",
    "network": "Manage networks",
    "system": "Manage the daemon",
    "volume": "Manage volumes",
}

# module -> its commands, in the order of the manual.
MODULES: dict[str, tuple[str, ...]] = {
    "network": ("network ls", "network inspect", "network prune"),
    "network_change": ("network create", "network rm", "network connect", "network disconnect"),
    "run": ("run", "create"),
    "attach": ("attach", "start"),
    "execute": ("exec",),
    "ps": ("ps",),
    "container": (
        "stop",
        "restart",
        "kill",
        "pause",
        "unpause",
        "wait",
        "rm",
        "rename",
        "update",
        "container prune",
    ),
    "look": ("inspect", "container inspect", "logs", "port", "top", "diff"),
    "stats": ("stats",),
    "copy": ("cp",),
    "image": ("image ls", "image inspect", "tag", "image rm", "image prune", "history"),
    "image_transfer": ("import", "load", "save", "pull"),
    "volume": ("volume create", "volume inspect", "volume ls", "volume prune", "volume rm"),
    "system": ("info", "version", "events", "system df", "system prune"),
    "cluster": (
        "cluster init",
        "cluster join",
        "cluster leave",
        "cluster ls",
        "cluster rm",
        "cluster inspect",
        "cluster status",
        "cluster move",
        "cluster rebuild",
        "cluster token",
        "cluster rights",
        "cluster verify",
    ),
    "completion": ("completion",),
    "daemon": ("daemon",),
}

# What Docker calls the same command too.
ALIASES: dict[str, str] = {
    "cluster list": "cluster ls",
    "network list": "network ls",
    "network remove": "network rm",
    "images": "image ls",
    "image list": "image ls",
    "rmi": "image rm",
    "image remove": "image rm",
    "image import": "import",
    "image load": "load",
    "image save": "save",
    "image pull": "pull",
    "image tag": "tag",
    "image history": "history",
    "container ls": "ps",
    "container list": "ps",
    "container ps": "ps",
    "container remove": "rm",
    "volume list": "volume ls",
    "volume remove": "volume rm",
    "system info": "info",
    "system events": "events",
}
_OF_CONTAINERS = (
    "attach cp create diff exec kill logs pause port rename restart rm run start stats stop top unpause update wait"
)
ALIASES |= {f"container {verb}": verb for verb in _OF_CONTAINERS.split()}
