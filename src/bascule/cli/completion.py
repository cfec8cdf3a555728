"""`bascule completion`: scripts for shells, and the words that they ask for.

The scripts ask the program itself (`bascule completion words -- …`), so that they never fall behind it; a call
costs what `bascule network ls` costs.
"""

from bascule.cli.client import Client, Refusal, Unreachable
from bascule.cli.command import MANY, Command
from bascule.cli.commands import ALIASES, NOUNS
from bascule.cli.manual import names
from bascule.cli.options import Given, Option, UsageError, table
from bascule.cli.start import GLOBAL, find, load

BASH = r"""# bash completion for bascule: source it, or put it where bash-completion looks
_bascule() {
    local IFS=$'\n'
    COMPREPLY=($(compgen -W "$(bascule completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" \
        -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _bascule bascule
"""
ZSH = r"""#compdef bascule
# zsh completion for bascule: put it as _bascule into a directory of $fpath
_bascule() {
    local -a found
    found=("${(@f)$(bascule completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=("${(@)found:#}")
    if (( ${#found} )); then compadd -- $found; else _files; fi
}
if [ "$funcstack[1]" = "_bascule" ]; then _bascule "$@"; else compdef _bascule bascule; fi
"""
FISH = r"""# fish completion for bascule: put it into ~/.config/fish/completions/bascule.fish
function __bascule_words
    set -l typed (commandline -opc) (commandline -ct)
    bascule completion words -- $typed[2..-1] 2>/dev/null
end
complete -c bascule -f -a '(__bascule_words)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

# What an argument or an option's value names: where it is listed, and how a name is read from the list.
NETWORK, CONTAINER, IMAGE, VOLUME = "/networks", "/containers/json", "/images/json", "/volumes"
ARGUMENTS = {
    "NETWORK": NETWORK,
    "CONTAINER": CONTAINER,
    "IMAGE": IMAGE,
    "VOLUME": VOLUME,
    "SOURCE_IMAGE": IMAGE,
    "NAME": CONTAINER,
}
VALUES = {
    "network": [NETWORK],
    "driver": ["bridge", "macvlan", "ipvlan", "overlay"],
    "restart": ["no", "always", "unless-stopped", "on-failure"],
    "pull": ["always", "missing", "never"],
    "format": ["json", "table"],
    "type": ["container", "image", "network", "volume"],
    "volumes-from": [CONTAINER],
    "link": [CONTAINER],
}


def completion(client: Client, given: Given) -> int:
    shell, *typed = given.args
    if shell == "words":
        print(*words(client, typed), sep="\n")
        return 0
    if shell not in SCRIPTS:
        raise UsageError(f"completion for {shell}: bash, zsh and fish are known")
    print(SCRIPTS[shell], end="")
    return 0


def words(client: Client, typed: list[str]) -> list[str]:
    """What may stand in place of the last of the *typed* words."""
    *before, begun = typed or [""]
    client, before = _without_globals(client, before)
    if not before:
        top = {n for n in [*names(), *ALIASES] if " " not in n} | set(NOUNS)
        return _options(GLOBAL) if begun.startswith("-") else sorted(top)
    if len(before) == 1 and before[0] in NOUNS:
        return sorted(n.split()[1] for n in [*names(), *ALIASES] if n.startswith(before[0] + " "))
    try:
        name, rest = find(before)
    except UsageError:
        return []
    command = load(name)
    waiting = _waiting(command.table(), rest)
    if waiting:
        return [word for found in VALUES.get(waiting, []) for word in _listed(client, found)]
    if begun.startswith("-"):
        return _options(command.options)
    if name == "completion":
        return sorted(SCRIPTS)
    return _arguments(client, command, rest)


def _without_globals(client: Client, before: list[str]) -> tuple[Client, list[str]]:
    """The words from the command on, and the daemon that options before it name."""
    while before and before[0].startswith("-"):
        option, *before = before
        if option in ("-H", "--host") and before:
            client = Client(before[0])
            before = before[1:]
    return client, before


def _options(text: str) -> list[str]:
    return [f"--{o.name}" for o in table(text) if o.help] + ["--help"]


def _waiting(options: list[Option], rest: list[str]) -> str:
    """The option whose value comes next, if the last word is one."""
    last = rest[-1] if rest else ""
    for option in options:
        if option.kind != "bool" and last in (f"--{option.name}", f"-{option.short}"):
            return option.alias_of or option.name
    return ""


def _arguments(client: Client, command: Command, rest: list[str]) -> list[str]:
    wanted = [w.strip("[].").partition("|")[0].partition("[")[0] for w in command.usage.split()]
    wanted = [w for w in wanted if w not in ("OPTIONS", "")]
    if not wanted:
        return []
    done = sum(not word.startswith("-") for word in rest)
    return _listed(client, ARGUMENTS.get(wanted[min(done, len(wanted) - 1)], ""))


def _listed(client: Client, place: str) -> list[str]:
    if not place.startswith("/"):
        return [place] if place else []
    try:
        found = client.get(place, {"all": "1"} if place == CONTAINER else {})
    except (Refusal, Unreachable):
        return []
    match place:
        case "/containers/json":
            return [name.removeprefix("/") for c in found for name in c["Names"]]
        case "/images/json":
            return [tag for i in found for tag in i.get("RepoTags") or []]
        case "/volumes":
            return [v["Name"] for v in found.get("Volumes") or []]
    return [n["Name"] for n in found]


COMMANDS = {
    "completion": Command(
        completion,
        "bash|zsh|fish",
        "Print the completion script for a shell",
        args=(1, MANY),
        examples="""
# bash, for this shell only
source <(bascule completion bash)
bascule completion zsh > ~/.zfunc/_bascule
bascule completion fish > ~/.config/fish/completions/bascule.fish
""",
    ),
}
