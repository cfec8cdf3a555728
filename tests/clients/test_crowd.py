"""Fifty clients create, connect, disconnect and remove at once: nothing is the daemon's fault, nothing is left,
nobody waits for ever, and whoever listens hears of every change once and in order.

For ten seconds, or for as many as `BASCULE_CROWD` says.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.clients.conftest import DEADLINE, Ground
from tests.unix_http import UnixConnection

CLIENTS = 50
SECONDS = float(os.environ.get("BASCULE_CROWD", "10"))
SHARED = 8
"""Networks that everybody uses, and that come and go."""
# What a client may be told because others were quicker: a refusal, or what Docker answers with 500 as well.
FINE = range(200, 500)
AS_DOCKER = re.compile(r"container \w+ is not connected to (the )?network ")


@dataclass
class Client:
    """One of the crowd, with a container of its own; what it was told to be done, and what it should not have been
    told."""

    path: str
    number: int
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connection = UnixConnection(self.path, DEADLINE)
        self.chance = Random(self.number)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        told: Any
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = self.connection.getresponse()
        text = answer.read()
        told = json.loads(text) if text else None
        self.answers[f"{method} {re.sub('[0-9]+', 'N', path)} {answer.status}"] += 1
        if answer.status not in FINE and not AS_DOCKER.match(told["message"]):
            self.wrong.append(f"{method} {path} {answer.status} {told}")
        return answer.status, told

    def act(self) -> None:
        """Something, to a network that others use as well."""
        shared, own = f"shared{self.chance.randrange(SHARED)}", f"own{self.number}"
        box = {"Container": f"box{self.number}"}
        match self.chance.randrange(12):
            case 0 | 1:
                self.create(shared)
            case 2:
                self.remove(shared)
            case 3 | 4 | 5:
                self.ask("POST", f"/networks/{shared}/connect", box)
            case 6 | 7:
                self.ask("POST", f"/networks/{shared}/disconnect", {**box, "Force": self.chance.random() < 0.5})
            case 8:
                self.create(own)
                self.ask("POST", f"/networks/{own}/connect", box)
                self.ask("POST", f"/networks/{own}/disconnect", box)
                self.remove(own)
            case 9:
                self.prune()
            case 10:
                self.ask("GET", "/networks")
                self.ask("GET", f"/networks/{shared}")
            case _:
                self.again()

    def create(self, name: str) -> None:
        status, told = self.ask("POST", "/networks/create", {"Name": name, "Labels": {"crowd": "yes"}})
        if status == http.client.CREATED:
            self.made.append(told["Id"])

    def remove(self, name: str) -> None:
        self.ask("DELETE", f"/networks/{name}")

    def prune(self) -> None:
        self.ask("POST", "/networks/prune")

    def again(self) -> None:
        """Its container goes, and a new one comes."""
        name = f"box{self.number}"
        self.ask("DELETE", f"/containers/{name}?force=1")
        _, told = self.ask("POST", f"/containers/create?name={name}", {"Image": "host", "Cmd": ["sleep", "6000"]})
        if self.number < RUNNING:
            self.ran.append(told["Id"])
            self.ask("POST", f"/containers/{name}/start")

    def leave(self) -> None:
        self.ask("DELETE", f"/containers/box{self.number}?force=1")
        self.connection.close()


# Of the crowd, so many have containers that run: those that do not only have wishes.
RUNNING = 12
WORKERS = 16
# How a link is, which is another matter than what is there.
AT_THE_MOMENT = re.compile(r"\d+: |valid_lft.*|<.*?>| linkdown|@if\d+| state \w+")


class Listener:
    """Hears every event of the daemon's, from the beginning on."""

    def __init__(self, path: str) -> None:
        self.heard: list[dict[str, Any]] = []
        self.last = threading.Event()
        self._connection = UnixConnection(path, DEADLINE)
        self._connection.request("GET", "/events")
        self._answer = self._connection.getresponse()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(ValueError, OSError, http.client.HTTPException, AttributeError):
            # The connection is closed under it at the end.
            while line := self._answer.readline():
                event = json.loads(line)
                self.heard.append(event)
                if event["Actor"]["Attributes"].get("name") == "the-last":
                    self.last.set()

    def close(self) -> None:
        if self._connection.sock:
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE)
        self._answer.close()
        self._connection.close()


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo make test-clients")
    if not shutil.which("docker"):
        pytest.skip("there is no docker CLI (apt-get install docker.io)")
    found = Ground(
        Path(f"/dev/shm/bcrowd-{os.getpid()}"),
        "--default-address-pool=base=172.20.0.0/14,size=24",
    )
    try:
        found.start()
        yield found
    finally:
        found.close()


def left(ground: Ground) -> str:
    """What a crowd could leave behind: links, addresses, routes, rules, namespaces, objects,
    descriptors."""
    told = []
    for command in ("ip -o link", "ip -o addr", "ip route", "ip -6 route", "nft -s list ruleset"):
        said = ground.run(["ip", "netns", "exec", ground.netns, *command.split()]).out
        told += [
            re.sub(r"\d+: |valid_lft.*|<.*?>| linkdown|@if\d+| state \w+", "", line) for line in said.splitlines()
        ]
    told += sorted(str(one.name) for one in (ground.directory / "run" / "netns").iterdir())
    told += sorted(str(one.name) for one in (ground.directory / "data" / "containers").iterdir())
    told += ground.docker("network", "ls", "--format", "{{.Name}}").out.split()
    for one in Path(f"/proc/{ground.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            told.append(re.sub(r"\d+", "N", os.readlink(one)))
    return "\n".join(sorted(told))


def threads_of(ground: Ground) -> int:
    """The daemon's threads, but for those of the API's pools."""
    found = 0
    for one in Path(f"/proc/{ground.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += not (one / "comm").read_text().startswith(("quick-", "slow-"))
    return found


def crowd(path: str) -> list[Client]:
    """Everybody, when they have all gone and taken with them what was theirs."""
    clients = [Client(path, number) for number in range(CLIENTS)]
    ended = time.monotonic() + SECONDS

    def live(client: Client) -> None:
        client.again()
        while time.monotonic() < ended:
            client.act()
        client.leave()

    threads = [threading.Thread(target=live, args=(client,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS + 2 * DEADLINE)
    assert not [thread for thread in threads if thread.is_alive()], "somebody waits for ever"
    last = Client(path, CLIENTS)
    last.prune()
    for name in [*(f"shared{n}" for n in range(SHARED)), "the-last"]:
        last.create(name)
        last.remove(name)
    last.connection.close()
    return [*clients, last]


def test_fifty_clients_at_once(ground: Ground) -> None:
    path = ground.host.removeprefix("unix://")
    # Whatever is made once and stays has been made.
    first = Client(path, 0)
    first.again()
    first.create("first")
    first.ask("POST", "/networks/first/connect", {"Container": "box0"})
    first.leave()
    first = Client(path, 0)
    first.remove("first")
    first.connection.close()
    never, patience = threading.Event(), time.monotonic() + DEADLINE
    while " gone-" in (idle := left(ground)) or "\ngone-" in idle:
        assert time.monotonic() < patience, idle
        never.wait(0.05)
    began = threads_of(ground)
    with closing(Listener(path)) as listener:
        everybody = crowd(path)
        assert listener.last.wait(DEADLINE)
    answers = sum((client.answers for client in everybody), Counter[str]())
    print(
        f"{answers.total()} answers:", *(f"{count:6} {what}" for what, count in sorted(answers.items())), sep="\n"
    )
    assert [fault for client in everybody for fault in client.wrong] == []
    told_once_and_in_order(listener.heard, everybody)
    assert [line for line in ground.log if "Traceback" in line or " error " in line] == []
    # Bridges are deleted later, one by one; the kernel takes a while for each.
    patience = time.monotonic() + DEADLINE + 5 * SECONDS
    while (now := left(ground)) != idle:
        assert time.monotonic() < patience, "\n".join(unified_diff(idle.splitlines(), now.splitlines(), n=0))
        never.wait(0.2)
    # Other rooms keep a few workers too; one for each of some thousand requests would be seen.
    assert threads_of(ground) <= began + WORKERS


def told_once_and_in_order(heard: list[dict[str, Any]], everybody: list[Client]) -> None:
    """Each network was made once, then connected to and disconnected from by turns, then removed once; and the
    times of what is told never go back.  Containers that do not run are left out: a connection of theirs is a wish,
    which a network's end does not end."""
    made = [ident for client in everybody for ident in client.made]
    meant = {None, *(ident for client in everybody for ident in client.ran)}
    networks = [
        event
        for event in heard
        if event["Type"] == "network"
        and event["Action"] != "prune"
        and event["Actor"]["Attributes"].get("container") in meant
    ]
    created = Counter(event["Actor"]["ID"] for event in networks if event["Action"] == "create")
    assert created == Counter(made)
    story: dict[str, list[dict[str, Any]]] = {}
    for event in networks:
        story.setdefault(event["Actor"]["ID"], []).append(event)
    for ident in made:
        of = story[ident]
        actions = [event["Action"] for event in of]
        assert (actions[0], actions[-1]) == ("create", "destroy"), actions
        assert (actions.count("create"), actions.count("destroy")) == (1, 1), actions
        inside: set[str] = set()
        for event in of[1:-1]:
            who = event["Actor"]["Attributes"]["container"]
            assert (event["Action"] == "connect") == (who not in inside), f"{ident}: {event}"
            inside ^= {who}
        assert not inside, "\n".join(f"{one['Action']} {one['Actor']['Attributes']}" for one in of)
    times = [event["timeNano"] for event in networks]
    assert times == sorted(times)
