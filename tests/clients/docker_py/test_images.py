"""docker-py's images and volumes."""

from pathlib import Path
from typing import Any

import docker
import pytest
from bench.sides import rootfs
from docker.errors import ImageNotFound
from tests.clients.docker_py.conftest import Both, refusal
from tests.clients.peer import IMAGE

WANTED = {
    "listed Containers: -1": "counted from API 1.51 on, which is newer than ours",
    "^.DockerVersion:": "no Docker made it",
    "^.Config Env:": "the PATH that every container has is told as the image's",
    "No such image: nosuch": "a name with its tag, where that was left out",
}
VARIES = {"Id", "Created", "GraphDriver", "RootFS", "Metadata", "Size", "VirtualSize", "RepoDigests", "Descriptor"}


def test_an_image_is_imported_tagged_listed_and_removed(client: docker.DockerClient, tmp_path: Path) -> None:
    file = tmp_path / "rootfs.tar"
    file.write_bytes(rootfs())
    told = client.api.import_image_from_file(str(file), repository="test/one", tag="v1", changes=["CMD sleep 5"])
    assert '"status":"sha256:' in told
    image = client.images.get("test/one:v1")
    assert image.tags == ["test/one:v1"]
    assert image.attrs["Config"]["Cmd"] in (["/bin/sh", "-c", "sleep 5"], ["sleep", "5"])
    assert image.tag("test/two", "v2")
    assert image.tag("test/two:v3")
    image.reload()
    assert sorted(image.tags) == ["test/one:v1", "test/two:v2", "test/two:v3"]
    assert [found.id for found in client.images.list("test/two")] == [image.id]
    assert client.images.list("test/nosuch") == []
    assert [found.id for found in client.images.list(filters={"reference": "test/o*"})] == [image.id]
    assert image.id in [found.id for found in client.images.list(all=True, filters={"dangling": False})]
    assert [step["Comment"] for step in image.history()] == ["Imported from -"]
    assert client.containers.run("test/two:v3", ["echo", "hi"], remove=True) == b"hi\n"
    client.images.remove("test/two:v2")
    client.images.remove(image.id, force=True)
    with pytest.raises(ImageNotFound, match="No such image: test/one:v1"):
        client.images.get("test/one:v1")


def test_images_are_saved_and_loaded(client: docker.DockerClient) -> None:
    image = client.images.get(IMAGE)
    image.tag("test/kept", "v1")
    saved = b"".join(client.images.get("test/kept:v1").save(named="test/kept:v1"))
    client.images.remove("test/kept:v1")
    (loaded,) = client.images.load(saved)
    assert "test/kept:v1" in loaded.tags
    assert client.containers.run(loaded, ["echo", "hi"], remove=True) == b"hi\n"
    # Without its names it is loaded by its id alone.
    (bare,) = client.images.load(b"".join(loaded.save()))
    assert bare.id == loaded.id


def test_what_nobody_names_is_pruned(client: docker.DockerClient) -> None:
    client.api.import_image_from_data(rootfs(), repository="test/old", changes=["ENV A=b"])
    old = client.images.get("test/old").id
    client.api.import_image_from_data(rootfs(), repository="test/old", changes=["ENV A=c"])
    assert old in [found.id for found in client.images.list(filters={"dangling": True})]
    told = client.images.prune()
    assert {"Deleted": old} in told["ImagesDeleted"]
    assert "A=c" in client.images.get("test/old").attrs["Config"]["Env"]


def test_an_image_is_shown_alike(both: Both) -> None:
    def told(client: docker.DockerClient) -> list[str]:
        changes = [
            "ENV A=b",
            "EXPOSE 80/tcp",
            "VOLUME /data",
            "LABEL x=y",
            "WORKDIR /tmp",
            "USER 0",
            'CMD ["a","b"]',
        ]
        client.api.import_image_from_data(rootfs(), repository="test/shown", changes=changes)
        shown = client.images.get("test/shown").attrs
        (row,) = client.api.images("test/shown")
        (step,) = client.api.history("test/shown")
        config = shown.pop("Config")
        lines = [f"Config {key}: {value}" for key, value in sorted(config.items()) if value]
        lines += [f"{key}: {value}" for key, value in sorted(shown.items()) if value and key not in VARIES]
        lines += [f"listed {key}: {value}" for key, value in sorted(row.items()) if value and key not in VARIES]
        lines += [f"step {key}: {value}" for key, value in sorted(step.items()) if value and key not in VARIES]
        return lines

    assert both.difference(told, WANTED) == ""


def test_volumes_are_made_listed_and_removed(client: docker.DockerClient) -> None:
    one = client.volumes.create("v1", driver="local", labels={"a": "b"})
    two = client.volumes.create("v2")
    client.volumes.create()
    assert sorted(found.name for found in client.volumes.list() if len(found.name) < 10) == ["v1", "v2"]
    assert [found.name for found in client.volumes.list(filters={"label": "a=b"})] == ["v1"]
    assert [found.name for found in client.volumes.list(filters={"name": "v2"})] == ["v2"]
    assert one.attrs["Mountpoint"].endswith("/volumes/v1/_data")
    assert {key: one.attrs[key] for key in ("Driver", "Labels", "Options", "Scope")} == {
        "Driver": "local",
        "Labels": {"a": "b"},
        "Options": None,
        "Scope": "local",
    }
    mounts = {"v1": {"bind": "/data", "mode": "rw"}}
    client.containers.run(IMAGE, ["sh", "-c", "echo kept > /data/f"], volumes=mounts, remove=True)
    box = client.containers.run(IMAGE, ["cat", "/data/f"], volumes=mounts, detach=True)
    box.wait()
    assert box.logs() == b"kept\n"
    assert f"volume is in use - [{box.id}]" in refusal(one.remove)
    box.remove()
    one.remove()
    assert refusal(lambda: client.volumes.get("v1")) == "NotFound 404: get v1: no such volume"
    assert len(client.volumes.prune()["VolumesDeleted"]) == 1
    assert client.volumes.prune({"all": True})["VolumesDeleted"] == [two.name]


def test_what_is_refused_is_refused_alike(both: Both) -> None:
    def told(client: docker.DockerClient) -> list[str]:
        calls: list[Any] = [
            lambda: client.images.get("nosuch"),
            lambda: client.images.get("nosuch:v1"),
            lambda: client.images.get("NoSuch"),
            lambda: client.images.remove("nosuch"),
            lambda: client.api.tag("nosuch", "x"),
            lambda: client.api.tag(IMAGE, "X"),
            lambda: client.api.history("nosuch"),
            lambda: list(client.api.get_image("nosuch")),
            lambda: client.images.list(filters={"nosuch": "x"}),
            lambda: client.volumes.get("nosuch"),
            lambda: client.volumes.create("a/b"),
            lambda: client.volumes.create("v1", driver="local", driver_opts={"nosuch": "x"}),
            lambda: client.api.remove_volume("nosuch"),
            lambda: client.volumes.list(filters={"nosuch": "x"}),
        ]
        return [refusal(call) for call in calls]

    assert both.difference(told, WANTED) == ""
