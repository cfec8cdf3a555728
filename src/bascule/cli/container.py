"""What is done to containers that exist: stop, kill, pause, wait, remove, and the like."""

import sys
from typing import Any

from bascule.cli import units
from bascule.cli.ask import sure
from bascule.cli.client import Client, Refusal, filters, quote
from bascule.cli.command import MANY, Command
from bascule.cli.dry import NETWORKS, dry_run
from bascule.cli.each import each
from bascule.cli.options import Given, UsageError
from bascule.cli.runbody import restart_policy
from bascule.cli.runoptions import CHECKS


def _each(client: Client, given: Given, verb: str) -> int:
    def one(name: str) -> None:
        client.post(f"/containers/{quote(name)}/{verb}")
        print(name)

    return each(given.args, one)


def _each_or_its_lines(client: Client, given: Given, verb: str, pairs: dict[str, str]) -> int:
    def one(name: str) -> None:
        path = f"/containers/{quote(name)}/{verb}"
        if given.flag("dry-run"):
            dry_run(client, "POST", path, pairs)
            return
        client.post(path, pairs)
        print(name)

    return each(given.args, one)


def _ending(given: Given) -> dict[str, str]:
    pairs = {"signal": given.text("signal")} if given.text("signal") else {}
    if "timeout" in given.typed or "time" in given.typed:
        pairs["t"] = str(given.number("timeout"))
    return pairs


def stop(client: Client, given: Given) -> int:
    return _each_or_its_lines(client, given, "stop", _ending(given))


def restart(client: Client, given: Given) -> int:
    return _each_or_its_lines(client, given, "restart", _ending(given))


def kill(client: Client, given: Given) -> int:
    pairs = {"signal": given.text("signal")} if given.text("signal") else {}
    return _each_or_its_lines(client, given, "kill", pairs)


def pause(client: Client, given: Given) -> int:
    return _each(client, given, "pause")


def unpause(client: Client, given: Given) -> int:
    return _each(client, given, "unpause")


def wait(client: Client, given: Given) -> int:
    def one(name: str) -> None:
        found = client.post(f"/containers/{quote(name)}/wait")
        error = (found.get("Error") or {}).get("Message")
        if error:
            raise Refusal(500, error)
        print(found["StatusCode"], flush=True)

    return each(given.args, one)


def rm(client: Client, given: Given) -> int:
    pairs = {name: "1" for name in ("force", "link") if given.flag(name)}
    if given.flag("volumes"):
        pairs["v"] = "1"

    def one(name: str) -> None:
        path = f"/containers/{quote(name.strip('/'))}"
        try:
            if given.flag("dry-run"):
                dry_run(client, "DELETE", path, pairs)
                return
            client.ask("DELETE", path, pairs)
        except Refusal as no:
            if not (given.flag("force") and no.status == 404):
                raise
            print(no, file=sys.stderr)
            return
        print(name)

    return each(given.args, one)


def rename(client: Client, given: Given) -> int:
    old, new = given.args
    client.post(f"/containers/{quote(old)}/rename", {"name": new})
    return 0


def update(client: Client, given: Given) -> int:
    body: dict[str, Any] = {key: given.each(option) for option, key in LIMITS.items() if option in given.typed}
    if given.text("restart"):
        body["RestartPolicy"] = restart_policy(given.text("restart"))
    if not body:
        raise UsageError("you must provide one or more flags when using this command")

    def one(name: str) -> None:
        answer = client.post(f"/containers/{quote(name)}/update", body=body) or {}
        print(name)
        for warning in answer.get("Warnings") or []:
            print(warning)

    return each(given.args, one)


def prune(client: Client, given: Given) -> int:
    if not given.flag("force") and not sure(
        "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?"
    ):
        return 0
    found = client.post("/containers/prune", filters(given.list("filter")))
    gone = found.get("ContainersDeleted") or []
    if gone:
        print("Deleted Containers:", *gone, "", sep="\n")
    print(f"Total reclaimed space: {units.size(found.get('SpaceReclaimed', 0))}")
    return 0


LIMITS = {
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-shares": "CpuShares",
    "cpus": "NanoCpus",
    "cpuset-cpus": "CpusetCpus",
    "cpuset-mems": "CpusetMems",
    "memory": "Memory",
    "memory-reservation": "MemoryReservation",
    "memory-swap": "MemorySwap",
    "pids-limit": "PidsLimit",
}
ENDING = (
    NETWORKS
    + """
    -s, --signal string   The signal that asks it to end
    -t, --timeout int     Seconds until it is killed
        --time int>timeout
"""
)
SOME = "CONTAINER [CONTAINER...]"

COMMANDS = {
    "stop": Command(
        stop,
        f"[OPTIONS] {SOME}",
        "Stop containers",
        ENDING,
        args=(1, MANY),
        examples="bascule stop -t 2 web",
    ),
    "restart": Command(
        restart,
        f"[OPTIONS] {SOME}",
        "Stop containers and start them again",
        ENDING,
        args=(1, MANY),
        examples="bascule restart web",
    ),
    "kill": Command(
        kill,
        f"[OPTIONS] {SOME}",
        "Send containers a signal",
        NETWORKS + "    -s, --signal string   Which one, instead of KILL\n",
        args=(1, MANY),
        examples="bascule kill -s HUP web",
    ),
    "pause": Command(
        pause, SOME, "Freeze all processes of containers", args=(1, MANY), examples="bascule pause web"
    ),
    "unpause": Command(
        unpause, SOME, "Let frozen containers go on", args=(1, MANY), examples="bascule unpause web"
    ),
    "wait": Command(
        wait,
        SOME,
        "Wait until containers end, and print their exit status",
        args=(1, MANY),
        examples="bascule wait job",
    ),
    "rm": Command(
        rm,
        f"[OPTIONS] {SOME}",
        "Remove containers",
        NETWORKS
        + """
    -f, --force     Kill it first if it runs
    -l, --link      Remove the link of this name
    -v, --volumes   Also its nameless volumes
""",
        args=(1, MANY),
        examples="""
bascule rm -f web
# which links, routes and rules go with it
bascule rm -f --dry-run web
""",
    ),
    "rename": Command(
        rename,
        "CONTAINER NEW_NAME",
        "Give a container another name",
        args=(2, 2),
        examples="bascule rename web old",
    ),
    "update": Command(
        update,
        f"[OPTIONS] {SOME}",
        "Change the limits and the restart policy of containers",
        """
        --cpu-period int             The period of the CPU limit, in microseconds
        --cpu-quota int              The part of the period that it may run, in microseconds
    -c, --cpu-shares int             The weight against other containers
        --cpus decimal               How many processors, e.g. 1.5
        --cpuset-cpus string         Which processors, e.g. 0-3 or 0,1
        --cpuset-mems string         Which memory nodes, e.g. 0-3 or 0,1
    -m, --memory bytes               The most memory, e.g. 512m
        --memory-reservation bytes   The memory that it gets in any case
        --memory-swap bytes          Memory and swap together; -1: no limit
        --pids-limit int             The most processes; -1: no limit
        --restart string             Start it again: no, always, unless-stopped, on-failure[:times]
""",
        args=(1, MANY),
        examples="bascule update --memory 256m --restart always web",
        checks=CHECKS,
    ),
    "container prune": Command(
        prune,
        "[OPTIONS]",
        "Remove all containers that do not run",
        """
        --filter filter   Only what matches, e.g. "until=24h"
    -f, --force           Do not ask
""",
        examples="bascule container prune -f",
    ),
}
