"""Scripts of docker commands, and what an engine's clients say when they are played.

A file in `script/` is scenes: a line `== title`, then shell lines, each run by `sh -c` in a directory of the
scene's own.  `$START` is when the scene began, `$HOST` where the engine listens, `now [SECONDS]` the time for
--until, and `terminal` is terminal.py.  Every scene finds an engine with nothing but the image "bench".

A transcript has each line after `$ `, then stdout behind two blanks, stderr behind `! `, and the status after `-> `
if it is not 0.  What no two engines have in common is a placeholder, numbered in the order of its first appearance
in the scene, so that the same thing has the same number: `<id 1>`.  What the script itself names is left as it is.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.client import Api, Refused
from tests.clients.conftest import Client

HERE = Path(__file__).parent
SCRIPT = HERE / "script"
DEADLINE = 20
KEPT = ("bench:latest", "host:latest")
"""The image that both engines were given, and the one that ours always has."""
PRELUDE = f"""\
now() {{ date -d "+${{1:-0}} seconds" +%s.%N; }}
terminal() {{ {sys.executable} -I -S {HERE / "terminal.py"} "$@"; }}
"""


@dataclass(frozen=True, slots=True)
class Scene:
    title: str
    lines: tuple[str, ...]


def scenes(text: str) -> Iterator[Scene]:
    """The scenes of a script."""
    title, lines = "", list[str]()
    for line in text.splitlines():
        if line.startswith("== "):
            if title:
                yield Scene(title, tuple(lines))
            title, lines = line.removeprefix("== "), []
        elif line and not line.startswith("#"):
            lines.append(line)
    yield Scene(title, tuple(lines))


def script() -> dict[str, list[Scene]]:
    """All that is played, by file."""
    return {path.stem: list(scenes(path.read_text())) for path in sorted(SCRIPT.glob("*.txt"))}


def commands(scene: Scene) -> int:
    """How often the docker command line is called."""
    return sum(len(re.findall(r"(?<![\w/])docker (?=[a-z-])", line)) for line in scene.lines)


def play(client: Client, scene: Scene, places: Mapping[str, str]) -> str:
    """What the scene comes to on a clean engine; *places* are texts that become a placeholder."""
    sweep(client)
    with tempfile.TemporaryDirectory(dir=client.directory) as here:
        (Path(here) / "home").mkdir()
        env = {
            **{name: os.environ[name] for name in ("PATH",)},
            "DOCKER_HOST": client.host,
            "DOCKER_CONFIG": f"{here}/home",
            "HOST": client.host,
            "START": f"{time.time():.9f}",
            "LC_ALL": "C",
        }
        told = [_line(line, here, env) for line in scene.lines]
    text = "".join(told)
    for found, shown in {here: "<here>", client.host: "<host>", **places}.items():
        text = text.replace(found, shown)
    return placeheld(text, "\n".join(scene.lines))


def _line(line: str, here: str, env: Mapping[str, str]) -> str:
    with subprocess.Popen(
        ["sh", "-c", PRELUDE + line],
        cwd=here,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            out, err = process.communicate()
            err += b"(no end)\n"
    parts = [f"$ {line}\n", _marked("  ", out), _marked("! ", err)]
    return "".join(parts) + (f"-> {process.returncode}\n" if process.returncode else "")


def _marked(mark: str, said: bytes) -> str:
    lines = said.decode(errors="backslashreplace").replace("\r", "\\r").replace("\x1b", "\\e").split("\n")
    if not lines[-1]:
        lines.pop()
    elif said:
        lines[-1] += "\\"  # The last line had no end.
    return "".join(f"{mark}{line}\n" for line in lines)


WHAT = re.compile(
    r"(?P<time>\b(?!0001)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
    r"|\b(?!0001)\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [+-]\d{4} UTC"
    r'|(?<="time":)\d+|(?<="timeNano":)\d+)'
    r"|(?P<id>\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b)"
    r"|(?P<bridged>\b172\.17\.(?!0\.[01]\b)\d+\.\d+\b)"
    r"|(?P<veth>\bveth[0-9a-f]{7}\b)"
    r"|(?P<mac>\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b)"
    r'|(?P<port>(?<=[:"])(?:3276[89]|327[7-9]\d|32[89]\d\d|3[3-9]\d{3}|[45]\d{4}|60\d{3})\b)'
    r'|(?P<pid>(?<="Pid": )[1-9]\d*|(?<="Pid":)[1-9]\d*)'
    r"|(?P<ula>\bfd(?:[0-9a-f]{2})?:[0-9a-f]{1,4}:[0-9a-f]{1,4}(?::[0-9a-f]{1,4})?(?=::))"
    r"|(?P<duration>\b(?:Less than a second|About a minute|About an hour|\d+ (?:second|minute|hour)s?)\b"
    r'|(?<=execDuration=)\d+|(?<="execDuration":")\d+)'
)
NUMBERED = ("id", "mac", "port", "ula", "bridged")
"""Addresses on the default bridge are numbered: it outlives a scene, and ours hands out the next, not the first."""


def placeheld(text: str, script: str) -> str:
    """*text* with a placeholder for whatever another engine, or another day, has otherwise."""
    numbers: dict[str, dict[str, int]] = {kind: {} for kind in NUMBERED}
    whole = list(dict.fromkeys(re.findall(r"\b[0-9a-f]{64}\b", text)))

    def place(match: re.Match[str]) -> str:
        kind, found = str(match.lastgroup), match[0]
        if found in script:
            return found
        if kind not in numbers:
            return f"<{kind}>"
        short = ""
        if kind == "id" and len(found) < 64:
            short = " short"
            found = next((ident for ident in whole if ident.startswith(found)), found)
        known = numbers[kind]
        return f"<{kind} {known.setdefault(found, len(known) + 1)}{short}>"

    # Columns are as wide as what stood in them.
    return re.sub(r"(?<=\S) {4,}(?=\S)", "   ", WHAT.sub(place, text))


def sweep(client: Client) -> None:
    """The engine has nothing but IMAGE: no container, network, volume or other image."""
    api = Api(client.host.removeprefix("unix://"))
    for found in api.ask("GET", "/containers/json?all=1"):
        with suppress(Refused):  # It was about to go by itself.
            api.ask("DELETE", f"/containers/{found['Id']}?force=1&v=1")
    networks = [net for net in api.ask("GET", "/networks") if net["Name"] not in ("bridge", "host", "none")]
    for net in sorted(networks, key=lambda net: bool(net["ConfigOnly"])):
        api.ask("DELETE", f"/networks/{net['Id']}")
    for volume in api.ask("GET", "/volumes")["Volumes"] or ():
        api.ask("DELETE", f"/volumes/{volume['Name']}?force=1")
    for image in api.ask("GET", "/images/json"):
        for name in image["RepoTags"] or (image["Id"],):
            if name not in KEPT:
                api.ask("DELETE", f"/images/{name}?force=1")
    api.close()
