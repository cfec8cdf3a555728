"""The daemon keeps what /openapi.json promises: requests that schemathesis makes of it, inside and outside of what
it allows, are answered as it says, and none of them is a fault of the daemon's.

`BASCULE_CASES=5` tries five times as many as the 5,000 of everyday.
"""

import http.client
import io
import json
import os
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from docker.transport import UnixHTTPAdapter
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import CHECKS
from schemathesis.core.transport import Response
from schemathesis.generation import GenerationMode
from tests.clients.conftest import DEADLINE, Ground

from bascule.api import openapi
from bascule.api.routes import ROUTES

LEAST = 5000
TIMES = float(os.environ.get("BASCULE_CASES", "1"))
SCHEMA = schemathesis.openapi.from_dict(openapi.document(ROUTES))
FOUND: list[Any] = list(SCHEMA.get_all_operations())
OPERATIONS: dict[str, Any] = {one.ok().label: one.ok() for one in FOUND}
CHECKED: list[Any] = [
    check
    for name in (
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
    for check in CHECKS.get_by_names([name])
]
# What Docker answers with 500 as well, because it is no fault of the request's.
AS_DOCKER = (
    r"invalid filter: 'type'='",
    r"container \w+ is not connected to (the )?network ",
    r"failed to allocate (gateway|secondary ip address) \(.*\): Address already in use",
    r"ps: ",
    r"no available IPv[46] addresses on this network's address pools",
)
NAMES = {"networks": ["app", "bridge"], "containers": ["run", "still"], "images": ["host"], "volumes": ["kept"]}
LARGE = ("/containers/{name}/export", "/images/{name}/get", "/images/get")
TOLD: Counter[str] = Counter()


@schemathesis.serializer(openapi.UPLOAD)
def uploaded(_: Any, value: Any) -> bytes:
    """Bytes: mostly no tar, and sometimes the beginning of one."""
    told = value if isinstance(value, bytes) else json.dumps(value).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(f"file{len(told)}")
        member.size = len(told)
        tar.addfile(member, io.BytesIO(told))
    return told if len(told) % 2 else archive.getvalue()


class Stage:
    """A daemon with one of everything, which is put back when a request has taken it away."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.session = requests.Session()
        self.session.mount(
            "http://localhost", UnixHTTPAdapter(ground.host.replace("unix:", "http+unix:"), timeout=DEADLINE)
        )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.session.request(method, f"http://localhost{path}", json=body, timeout=DEADLINE)
        return answer.json() if answer.content else None

    def put_back(self) -> None:
        """One of everything is there; what else was made is gone."""
        kept = {name: self.ask("GET", f"/containers/{name}/json") for name in ("run", "still")}
        idents = {one.get("Id") for one in kept.values()}
        for one in self.ask("GET", "/containers/json?all=1"):
            if one["Id"] not in idents:
                self.ask("DELETE", f"/containers/{one['Id']}?force=1&v=1")
        self.ask("POST", "/networks/prune", None)
        self.ask("POST", "/networks/create", {"Name": "app"})
        self.ask("POST", "/volumes/create", {"Name": "kept"})
        if "Id" not in kept["still"]:
            self.ask("POST", "/containers/create?name=still", {"Image": "host", "Cmd": ["true"]})
        if kept["run"].get("State", {}).get("Status") != "running":
            self.ask("DELETE", "/containers/run?force=1")
            body = {"Image": "host", "Cmd": ["sleep", "6000"], "HostConfig": {"NetworkMode": "app", "Init": True}}
            self.ask("POST", "/containers/create?name=run", body)
            self.ask("POST", "/containers/run/start")

    def execution(self) -> str:
        made = self.ask("POST", "/containers/run/exec", {"Cmd": ["true"], "AttachStdout": True})
        return str(made.get("Id", "gone"))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    if os.geteuid() != 0:
        pytest.skip("needs root: sudo make test-clients")
    if not shutil.which("docker"):
        pytest.skip("there is no docker CLI (apt-get install docker.io)")
    ground = Ground(Path(f"/dev/shm/bcontract-{os.getpid()}"))
    try:
        ground.start()
        made = Stage(ground)
        yield made
        made.session.close()
    finally:
        ground.close()


def aimed(stage: Stage, case: Case[Any], known: int | None) -> None:
    """The request means the *known*th of what is there, if any, and is one that ends."""
    noun = case.path.split("/")[1]
    if case.path in LARGE:
        # Nor any that its beginning would name.
        known, case.path_parameters = None, {"name": f"none-{known}"} if "{name}" in case.path else {}
    if known is not None and "{name}" in case.path:
        names = NAMES.get(noun, ["none"])
        case.path_parameters = {"name": stage.execution() if noun == "exec" else names[known % len(names)]}
    query = dict(case.query or {})
    if case.path == "/events":
        query["until"] = "1"
    query.pop("follow", None)
    if case.method == "GET" and case.path.endswith("/archive"):
        # Not all of the host's root, in memory.
        query["path"] = "/etc/hostname"
    if case.path.endswith("/stats"):
        query |= {"stream": "0", "one-shot": "1"}
    if case.path.endswith("/attach"):
        query.pop("stream", None)
    if case.path.endswith("/wait"):
        query.pop("condition", None)
        case.path_parameters = {"name": "still"}
    if case.path.endswith(("/stop", "/restart")):
        query["t"] = "0" if str(query.get("t", "0")).lstrip("-").isdigit() else query["t"]
    case.query = query
    if isinstance(case.body, dict):
        _tame(case, known=known is not None)


def _tame(case: Case[Any], *, known: bool) -> None:
    """Nothing of the host is mounted; images are there."""
    body: Any = case.body
    if case.path == "/containers/create":
        if known:
            body["Image"] = "host"
        if isinstance(body.get("HostConfig"), dict):
            for key in ("Binds", "Mounts", "Devices"):
                body["HostConfig"].pop(key, None)
    if case.path.endswith("connect") and known:
        body["Container"] = "run"
    if case.path == "/exec/{name}/start":
        body["Detach"] = True


def fault(answer: Response) -> str:
    """Why an answer is the daemon's fault, "" where it is none."""
    if answer.status_code < http.client.INTERNAL_SERVER_ERROR:
        return ""
    if answer.status_code in (http.client.NOT_IMPLEMENTED, http.client.SERVICE_UNAVAILABLE):
        # Described for those requests alone, which the check of statuses sees to.
        return ""
    told = answer.json()["message"]
    return "" if any(re.match(sentence, told) for sentence in AS_DOCKER) else f"{answer.status_code} {told}"


def examples(label: str) -> int:
    """How often a request is tried: those with a body most, those that are only refused least."""
    operation = OPERATIONS[label]
    statuses = set(operation.definition.raw["responses"])
    if statuses & {"501", "503"}:
        return 10
    if operation.body:
        return 220
    if operation.method.upper() != "GET":
        return 90
    return 180 if operation.query or operation.path_parameters else 25


@pytest.mark.parametrize("label", OPERATIONS)
def test_an_answer_is_as_described(stage: Stage, label: str) -> None:
    operation = OPERATIONS[label]
    modes = [
        operation.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]
    stage.put_back()
    changes = operation.method.upper() in ("DELETE", "POST")

    @given(st.sampled_from([0, 0, 1]).flatmap(modes.__getitem__), st.sampled_from([0, 1, 0, 1, None]))
    @settings(
        max_examples=round(examples(label) * TIMES),
        deadline=None,
        database=None,
        derandomize=TIMES == 1,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def try_one(case: Case[Any], known: int | None) -> None:
        aimed(stage, case, known)
        answer = case.call(session=stage.session, base_url="http://localhost", timeout=DEADLINE)
        TOLD[operation.path.split("/")[1]] += 1
        assert not fault(answer), f"{fault(answer)}\n{case.as_curl_command()}"
        case.validate_response(answer, checks=CHECKED if answer.content else CHECKED[:1])
        if changes and answer.status_code < http.client.BAD_REQUEST:
            stage.put_back()

    try_one()


def test_there_were_enough_cases() -> None:
    if len(TOLD) > 1:
        assert sum(TOLD.values()) >= LEAST * min(TIMES, 1), str(TOLD)
