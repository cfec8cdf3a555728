"""Images: into the engine and out of it, by archives that may be wrong or worse."""

import gzip
import hashlib
import io
import json
import lzma
import shutil
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.clients.conftest import Ground, Told

from bascule.kernel.namespaces import in_namespace

Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, data: bytes = b"", **fields: object) -> Entry:
    """A member of an archive."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Entry:
    return entry(name, type=kind, linkname=target)


def tar(*entries: Entry) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def busybox() -> tuple[Entry, ...]:
    """A root with a shell and its tools."""
    with open("/bin/busybox", "rb") as source:
        program = entry("bin/busybox", source.read(), mode=0o755)
    tools = ("sh", "cat", "ls", "id", "find", "sort", "readlink", "stat")
    return program, *(link(f"bin/{tool}", "busybox") for tool in tools)


@pytest.fixture
def put(ground: Ground) -> Iterator[Callable[..., Told]]:
    """Import or load bytes; what they made is removed."""

    def give(data: bytes, *words: str) -> Told:
        path = ground.directory / "archive"
        path.write_bytes(data)
        return ground.docker(*(w if w != "FILE" else str(path) for w in words))

    yield give
    left = ground.docker("images", "-aq", "--filter", "label=none")
    assert left.status == 0
    for name in ground.docker("images", "--format", "{{.ID}} {{.Repository}}").out.splitlines():
        ident, repository = name.split()
        if repository != "host":
            ground.docker("rmi", "-f", ident)


Put = Callable[..., Told]


@pytest.mark.parametrize("pressed", [bytes, gzip.compress, lzma.compress], ids=["tar", "gzip", "xz"])
def test_an_archive_is_imported_however_it_is_compressed(
    ground: Ground, put: Put, pressed: Callable[[bytes], bytes]
) -> None:
    told = put(pressed(tar(*busybox(), entry("word", b"hello\n"))), "import", "FILE", "mine")
    assert told.out.startswith("sha256:"), told
    assert str(ground.docker("run", "--rm", "mine", "cat", "/word")) == "hello"


def test_changes_of_an_import_are_the_images_configuration(ground: Ground, put: Put) -> None:
    words = [
        "ENV A=1 B=2",
        "USER 7:8",
        "WORKDIR /w",
        'ENTRYPOINT ["/bin/sh","-c"]',
        'CMD ["echo $A$B; pwd; id -u"]',
    ]
    words += ["EXPOSE 80/tcp 53/udp", "LABEL k=v", "VOLUME /v", "STOPSIGNAL INT"]
    changes = [word for change in words for word in ("-c", change)]
    put(tar(*busybox(), entry("w", type=tarfile.DIRTYPE, mode=0o755)), "import", *changes, "FILE", "mine:2")
    assert str(ground.docker("run", "--rm", "mine:2")) == "12\n/w\n7"
    shown = json.loads(ground.docker("image", "inspect", "-f", "{{json .Config}}", "mine:2").out)
    assert sorted(shown["ExposedPorts"]) == ["53/udp", "80/tcp"]
    assert (shown["Labels"], shown["StopSignal"], list(shown["Volumes"])) == ({"k": "v"}, "INT", ["/v"])
    told = put(b"", "import", "-c", "RUN true", "FILE", "mine:3")
    assert (told.status, "RUN is not a valid change command" in told.err) == (1, True), told


BROKEN = {
    "nothing that is an archive": b"no archive " * 100,
    "cut off": tar(entry("f", b"x" * 5000))[:1000],
    "a name that leads out": tar(entry("../../escaped", b"x")),
    "a name below a link to nowhere": tar(link("up", "../../tmp"), entry("up/f", b"x")),
    "a hard link that leads out": tar(link("l", "../../../etc/passwd", tarfile.LNKTYPE)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_or_wicked_archive_is_refused_and_leaves_nothing(ground: Ground, put: Put, what: str) -> None:
    layers = ground.directory / "data" / "layers"
    before = sorted(p.name for p in layers.iterdir())
    told = put(BROKEN[what], "import", "FILE", "bad")
    assert (told.status, told.err != "") == (1, True), told
    assert ground.docker("images", "-q", "bad").out == ""
    assert sorted(p.name for p in layers.iterdir()) == before


def test_links_in_an_archive_lead_to_places_in_the_image(ground: Ground, put: Put) -> None:
    """Through a planted link a later member is written: below the image's root, and not on the host."""
    mark = f"mark-{ground.netns}"
    wicked = (
        link("abs", "/etc"),
        entry(f"abs/{mark}", b"1"),
        link("up", "../../../../tmp"),
        entry(f"up/{mark}", b"2"),
    )
    places = [entry(name, type=tarfile.DIRTYPE, mode=0o755) for name in ("etc", "tmp")]
    put(tar(*busybox(), *places, *wicked), "import", "FILE", "mine")
    assert ground.run(["ls", f"/etc/{mark}", f"/tmp/{mark}"]).out == ""
    assert str(ground.docker("run", "--rm", "mine", "cat", f"/etc/{mark}", f"/tmp/{mark}")) == "12"


def blobs(*layers: bytes, config: dict[str, object] | None = None) -> tuple[bytes, list[bytes]]:
    """An image's configuration and its layers."""
    diffs = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": config or {},
        "rootfs": {"type": "layers", "diff_ids": diffs},
        "history": [{"created": "2026-01-02T03:04:05Z", "created_by": f"layer {n}"} for n in range(len(layers))],
    }
    return json.dumps(document).encode(), list(layers)


def docker_archive(name: str, *layers: bytes) -> bytes:
    config, layers_ = blobs(*layers)
    files = [entry(f"{n}/layer.tar", layer) for n, layer in enumerate(layers_)]
    told = [{"Config": "c.json", "RepoTags": [name], "Layers": [info.name for info, _ in files]}]
    return tar(entry("c.json", config), *files, entry("manifest.json", json.dumps(told).encode()))


def oci(name: str, *layers: bytes, pressed: Callable[[bytes], bytes] = gzip.compress) -> bytes:
    """An image layout (OCI image-spec 1.0, image-layout.md)."""
    config, plain = blobs(*layers)
    files: list[Entry] = [entry("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')]

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        files.append(entry(f"blobs/sha256/{digest}", data))
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    manifest = {
        "schemaVersion": 2,
        "config": blob(config, "config.v1+json"),
        "layers": [blob(pressed(layer), "layer.v1.tar+gzip") for layer in plain],
    }
    found = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    found["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1"}
    files.append(entry("index.json", json.dumps({"schemaVersion": 2, "manifests": [found]}).encode()))
    return tar(*files)


LOWER = tar(
    *busybox(),
    entry("d/old", b"old\n"),
    entry("d/kept", b"kept\n"),
    entry("o/hidden", b"x"),
    entry("f", b"below\n"),
)
UPPER = tar(entry("d/.wh.old"), entry("o/.wh..wh..opq"), entry("o/new", b"y"), entry("f", b"above\n"))


@pytest.mark.parametrize("form", [docker_archive, oci])
def test_layers_lie_one_above_the_other(ground: Ground, put: Put, form: Callable[..., bytes]) -> None:
    """With what the upper takes away of the lower (OCI image-spec, layer.md: whiteouts)."""
    told = put(form("docker.io/library/stack:1", LOWER, UPPER), "load", "-i", "FILE")
    assert told.out == "Loaded image: stack:1\n", told
    assert str(ground.docker("run", "--rm", "stack:1", "sh", "-c", "ls /d /o; cat /f")) == (
        "/d:\nkept\n\n/o:\nnew\nabove"
    )
    created = ground.docker("history", "--format", "{{.CreatedBy}}", "stack:1").out.split("\n")
    assert created[:2] == ["layer 1", "layer 0"]


def test_an_archive_whose_layer_is_another_is_refused(ground: Ground, put: Put) -> None:
    right, wrong = docker_archive("bad:1", LOWER), docker_archive("bad:1", UPPER)
    assert len(right) > len(wrong)
    config, _ = blobs(LOWER)
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["bad:1"], "Layers": ["0/layer.tar"]}]).encode()
    told = put(
        tar(entry("c.json", config), entry("0/layer.tar", UPPER), entry("manifest.json", manifest)),
        "load",
        "-i",
        "FILE",
    )
    assert (told.status, "has the content of" in told.err) == (1, True), told
    assert ground.docker("images", "-q", "bad").out == ""


def test_what_is_saved_and_loaded_again_is_the_same(ground: Ground, put: Put) -> None:
    put(docker_archive("stack:1", LOWER, UPPER), "load", "-i", "FILE")
    look = ("run", "--rm", "stack:1", "sh", "-c", "find / -xdev -type f | sort; stat -c '%a %u %Y %n' /f /d/kept")
    before = str(ground.docker(*look))
    saved = ground.directory / "saved.tar"
    assert ground.docker("save", "-o", str(saved), "stack:1").status == 0
    ground.docker("rmi", "stack:1")
    assert ground.docker("load", "-i", str(saved)).out == "Loaded image: stack:1\n"
    assert str(ground.docker(*look)) == before


def test_removal_is_refused_while_an_image_is_used(ground: Ground, put: Put) -> None:
    ident = put(tar(*busybox()), "import", "FILE", "mine:1").out.strip()
    short = ident[7:19]
    ground.docker("tag", "mine:1", "other:1")
    ground.docker("create", "--name", "c1", "mine:1", "sh")
    assert "must be forced" in ground.docker("rmi", short).err
    assert str(ground.docker("rmi", "other:1")) == "Untagged: other:1"
    told = ground.docker("rmi", "mine:1")
    assert (told.status, "(must force)" in told.err) == (1, True), told
    ground.docker("rm", "c1")
    assert ground.docker("rmi", short).out.splitlines()[:2] == ["Untagged: mine:1", f"Deleted: {ident}"]
    assert ground.docker("rmi", short).status == 1


def test_a_name_that_moves_on_leaves_an_image_without_one_for_prune(ground: Ground, put: Put) -> None:
    first = put(tar(entry("a", b"1")), "import", "FILE", "mine:1").out.strip()
    put(tar(entry("a", b"2")), "import", "FILE", "mine:1")
    assert ground.docker("images", "-q", "--no-trunc", "-f", "dangling=true").out.split() == [first]
    assert f"deleted: {first}" in ground.docker("image", "prune", "-f").out
    assert ground.docker("images", "-q", "-f", "dangling=true").out == ""
    assert ground.docker("images", "--format", "{{.Repository}}:{{.Tag}}", "mine").out == "mine:1\n"


@contextmanager
def registry(ground: Ground, answers: Mapping[str, bytes]) -> Iterator[str]:
    """A registry on the loopback of *ground*, which gives *answers* by path; its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = {"/v2/": b"{}", **answers}.get(self.path)
            self.send_response(404 if data is None else 200)
            body = (
                data
                if data is not None
                else b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
            )
            self.send_header("Content-Type", MANIFEST if "/manifests/" in self.path else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody listens."""

    listener = in_namespace(f"/run/netns/{ground.netns}", lambda: socket.create_server(("127.0.0.1", 0)))
    server = ThreadingHTTPServer(listener.getsockname(), Answer, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def sum_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def served(name: str, layer: bytes) -> dict[str, bytes]:
    """What a registry says of an image *name*:1 of one layer."""
    pressed = gzip.compress(layer)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["cat", "/word"]},
            "rootfs": {"type": "layers", "diff_ids": [sum_of(layer)]},
        }
    ).encode()

    def part(kind: str, data: bytes) -> dict[str, object]:
        return {"mediaType": f"application/vnd.docker.{kind}", "size": len(data), "digest": sum_of(data)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": part("container.image.v1+json", config),
        "layers": [part("image.rootfs.diff.tar.gzip", pressed)],
    }
    blobs = {f"/v2/{name}/blobs/{sum_of(data)}": data for data in (config, pressed)}
    return {f"/v2/{name}/manifests/1": json.dumps(manifest).encode(), **blobs}


@pytest.mark.skipif(not shutil.which("skopeo"), reason="there is no skopeo (apt-get install skopeo)")
def test_an_image_is_pulled_from_a_registry_and_run(ground: Ground) -> None:
    answers = served("team/app", tar(*busybox(), entry("word", b"from afar\n")))
    with registry(ground, answers) as where:
        told = ground.docker("run", "--rm", f"{where}/team/app:1")
        assert told.out == "from afar\n", told
        assert f"Downloaded newer image for {where}/team/app:1" in ground.docker("pull", f"{where}/team/app:1").out
        layers = ground.directory / "data" / "layers"
        before = sorted(p.name for p in layers.iterdir())
        told = ground.docker("pull", f"{where}/team/app:2")
        assert (told.status, "manifest unknown" in told.err) == (1, True), told
        assert sorted(p.name for p in layers.iterdir()) == before
        assert ground.docker("rmi", f"{where}/team/app:1").status == 0


def test_an_image_that_is_nowhere_cannot_be_pulled(ground: Ground) -> None:
    told = ground.docker("pull", "nowhere.invalid/x")
    assert (told.status, "nowhere.invalid/x" in told.err) == (1, True), told
