"""The script of docker commands, scene by scene: what our daemon's users see is what a real dockerd's saw.

What a dockerd said is kept in `recorded/docker-28` (`python -m tests.clients.record`); where one can be had, it
still says that.  The differences that are meant are in `differences.toml`, and each of them must still be one.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future

import pytest
from tests.clients.conftest import Client, Ground
from tests.clients.differences import changed, differences, said
from tests.clients.peer import lacking, load_image, peer
from tests.clients.record import RECORDED, peers_places
from tests.clients.transcript import Scene, commands, placeheld, play, script, sweep

SCENES = {f"{file}: {scene.title}": (file, scene) for file, several in script().items() for scene in several}
# Docker looks for each of these for 15 seconds.
SLOW = ("17-plugins",)
LIVING = {name: one for name, one in SCENES.items() if one[0] not in SLOW}
TRIES = 3
"""A dockerd on a busy machine tells some events in another order, and is asked again."""


def recorded(file: str, scene: Scene) -> str:
    """What dockerd said to one scene."""
    parts = ("\n" + (RECORDED / f"{file}.txt").read_text()).split("\n== ")
    found = [part for part in parts if part.partition("\n")[0] == scene.title]
    assert len(found) == 1, f"{file}: {scene.title} is not recorded: python -m tests.clients.record {file}"
    return found[0].partition("\n")[2].rstrip("\n") + "\n"


def expected(file: str, scene: Scene) -> str:
    """What ours is to say to it."""
    places = [place for difference in differences() for place in difference.places]
    shown = []
    for _, command, output in said(f"== {scene.title}\n{recorded(file, scene)}"):
        told, _ = changed(file, scene.title, command, output, places)
        shown.append(f"$ {command}\n{told}\n" if told else f"$ {command}\n")
    return "".join(shown)


@pytest.fixture(scope="module")
def living() -> Iterator[Mapping[str, "Future[str]"]]:
    """What a living dockerd says, scene by scene, while other tests run."""
    if why := lacking():
        pytest.skip(why)
    told: dict[str, Future[str]] = {name: Future() for name in LIVING}
    over = threading.Event()

    def work() -> None:
        try:
            with peer() as (client, side):
                for name, (file, scene) in LIVING.items():
                    if over.is_set():
                        return
                    told[name].set_result(_until_as_recorded(client, file, scene, peers_places(side)))
        except BaseException as error:
            for future in told.values():
                if not future.done():
                    future.set_exception(error)

    worker = threading.Thread(target=work)
    worker.start()
    yield told
    over.set()
    worker.join()


def _until_as_recorded(client: Client, file: str, scene: Scene, places: Mapping[str, str]) -> str:
    told = ""
    for _ in range(TRIES):
        told = play(client, scene, places)
        if told == recorded(file, scene):
            break
    return told


@pytest.fixture(scope="module")
def ours(request: pytest.FixtureRequest, shared: Ground) -> Iterator[Ground]:
    """Our daemon, with the image that the scenes are played with."""
    if shared.docker("version", "--format", "{{.Client.Version}}").out.partition(".")[0] != "28":
        pytest.skip("the docker command line is not the one that was recorded with (28.2.2)")
    if any("living" in getattr(item, "fixturenames", ()) for item in request.session.items) and not lacking():
        # The two do not wait for one another.
        request.getfixturevalue("living")
    load_image(shared)
    yield shared
    sweep(shared)
    shared.docker("rmi", "bench")


@pytest.mark.parametrize("name", SCENES)
def test_ours_says_what_docker_said(ours: Ground, name: str) -> None:
    file, scene = SCENES[name]
    places = {
        f"{ours.directory}/data": "<data>",
        f"{ours.directory}/run": "<exec>",
        ours.bridge: "<default bridge>",
    }
    assert play(ours, scene, places) == expected(file, scene)


@pytest.mark.parametrize("name", LIVING)
def test_a_living_docker_says_what_was_recorded(living: Mapping[str, "Future[str]"], name: str) -> None:
    assert living[name].result() == recorded(*LIVING[name])


def test_every_difference_is_somewhere_in_the_script() -> None:
    places = [place for difference in differences() for place in difference.places]
    unused = set(places)
    for file, scene in SCENES.values():
        for _, command, output in said(f"== {scene.title}\n{recorded(file, scene)}"):
            unused -= set(changed(file, scene.title, command, output, places)[1])
    assert not unused


def test_the_recorded_transcripts_are_the_scripts() -> None:
    for file, scene in SCENES.values():
        told = [command for _, command, _ in said(f"== {scene.title}\n{recorded(file, scene)}")]
        assert told == list(scene.lines), f"python -m tests.clients.record {file}"


def test_the_script_has_commands_enough_and_of_every_kind() -> None:
    assert sum(commands(scene) for _, scene in SCENES.values()) > 800
    text = "\n".join(line for _, scene in SCENES.values() for line in scene.lines)
    used = set(re.findall(r"docker (?:network|container|image|volume|system|context) [a-z]+|docker [a-z]+", text))
    wanted = (
        "network create,network connect,network disconnect,network inspect,network ls,network prune,network rm,run,"
        "create,start,stop,kill,wait,restart,pause,unpause,rename,update,rm,exec,attach,logs,ps,inspect,cp,diff,"
        "export,port,top,events,images,tag,rmi,history,save,load,import,volume create,volume prune,info,version,"
        "stats,system df,context create"
    )
    assert {f"docker {name}" for name in wanted.split(",")} <= used


def test_a_thing_has_one_placeholder_and_what_the_script_names_has_none() -> None:
    ident, other = "ab" * 32, "cd" * 32
    text = f"{ident} {other[:12]} {ident[:12]} {other} 2026-01-01T00:00:00Z 0001-01-01T00:00:00Z Up 3 seconds"
    assert (
        placeheld(text, "") == "<id 1> <id 2 short> <id 1 short> <id 2> <time> 0001-01-01T00:00:00Z Up <duration>"
    )
    assert (
        placeheld("02:00:00:00:00:07 02:00:00:00:00:08", "--mac 02:00:00:00:00:07") == "02:00:00:00:00:07 <mac 1>"
    )
