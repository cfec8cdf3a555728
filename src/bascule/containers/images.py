"""Images: names for stacks of layers, and how to run them."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import IO

from bascule.containers import imageconfig, load
from bascule.containers.layers import Layers
from bascule.containers.paths import Paths
from bascule.containers.references import ID, normal, on_loopback
from bascule.model.container import Container, Image, ImageConfig, Step
from bascule.model.errors import Conflict, Failed, Forbidden, Invalid, NotFound
from bascule.model.names import short
from bascule.store.protocol import Store

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOST = Image(
    id="sha256:" + hashlib.sha256(b"bascule host image").hexdigest(),
    created=0,
    tags=("host:latest",),
    config=ImageConfig(env=(PATH,), command=("/bin/sh",)),
    host_root=True,
    history=(Step(created_by="the root directory of this host"),),
)
"""Always there: the host's own root, read-only below what the container writes."""

Tell = Callable[[str, str, dict[str, str]], None]


class Images:
    """Every image of one data root; `host:latest` is always among them.  *tell* hears action, id, attributes."""

    def __init__(self, store: Store, paths: Paths, *, tell: Tell = lambda *_: None) -> None:
        self._store = store
        self._configs = os.path.join(paths.data_root, "images")
        self._lock = threading.RLock()
        self._tell = tell
        self.layers = Layers(paths.layers)
        # As old as the host's root: what is below it when a container starts is what it has then.
        self._host = replace(HOST, created=os.stat("/").st_ctime_ns)
        os.makedirs(self._configs, mode=0o711, exist_ok=True)

    def images(self) -> list[Image]:
        """All of them, newest first, the built-in one last."""
        return [*sorted(self._store.all(Image), key=lambda i: -i.created), self._host]

    def image(self, ref: str) -> Image:
        """The image with this name, id, or unambiguous id prefix.  Raises NotFound, Invalid."""
        try:
            name = normal(ref)
        except Invalid:
            if not ref.startswith("sha256:"):
                raise
            name = ""
        found = next((i for i in self.images() if name in i.tags or ref == i.id), None)
        if found:
            return found
        prefixed = []
        if ID.fullmatch(ref):
            prefixed = [i for i in self.images() if i.id.startswith("sha256:" + ref.removeprefix("sha256:"))]
        if len(prefixed) == 1:
            return prefixed[0]
        if prefixed:
            raise NotFound(f"ambiguous image reference {ref!r}: {len(prefixed)} images have ids like that")
        raise NotFound(f"No such image: {name or ref}")

    def import_(self, stream: IO[bytes], ref: str = "", changes: Sequence[str] = (), message: str = "") -> Image:
        """One image of one layer from the tar in *stream*, called *ref* unless that is empty."""
        tags = (normal(ref),) if ref else ()
        config = imageconfig.change(ImageConfig(), changes)
        diff, size = self.layers.add(stream)
        now = time.time_ns()
        image = Image(
            id="",
            created=now,
            tags=tags,
            layers=(diff,),
            config=config,
            size=size,
            architecture=_architecture(),
            history=(Step(now, comment=message or "Imported from -", size=size),),
            comment=message or "Imported from -",
        )
        document = imageconfig.write(image)
        image = replace(image, id="sha256:" + hashlib.sha256(document).hexdigest())
        self._keep(image, document)
        for name in tags:
            self._tell("tag", image.id, {"name": name})
        self._tell("import", image.id, {"name": image.id})
        return self.image(image.id)

    def load(self, stream: IO[bytes]) -> list[str]:
        """Every image of the docker-archive or OCI layout in *stream* is there; their names, or ids without one.

        What has been unpacked of an archive that turns out to be broken is swept with the next removal."""
        loaded: list[str] = []
        with tempfile.TemporaryFile(dir=self.layers.root) as spool:
            shutil.copyfileobj(stream, spool, 1 << 20)
            spool.seek(0)
            # Locked, so that nobody removes a layer between its unpacking and the image's first mention.
            with self._lock:
                for image, document in load.Archive(spool, self.layers).images():
                    self._keep(image, document)
                    self._tell("load", image.id, {"name": image.id})
                    loaded += image.tags or (image.id,)
        return loaded

    def save(self, refs: Sequence[str]) -> IO[bytes]:
        """A docker-archive of the images; the caller closes it."""
        chosen = []
        for ref in refs:
            try:
                image = self.image(ref)
            except NotFound:
                raise NotFound(f"No such image: {ref}") from None
            if image.host_root:
                raise Invalid("image host: the host's own root cannot be saved")
            name = normal(ref) if not image.id.startswith(("sha256:" + ref, ref)) else ""
            chosen.append((image, self._document(image), [name] if name else []))
        for image, _, _ in chosen:
            self._tell("save", image.id, {"name": image.id})
        target = tempfile.TemporaryFile(dir=self.layers.root)  # noqa: SIM115  (the caller's to close)
        load.save(chosen, self.layers, target)
        target.seek(0)
        return target

    def tag(self, ref: str, name: str) -> None:
        """*name* means the image *ref* from now on, whatever it meant before."""
        image = self.image(ref)
        if image.host_root:
            raise Forbidden("image host: the built-in image has one name")
        with self._lock:
            self._name(image, (normal(name),))
        self._tell("tag", image.id, {"name": normal(name)})

    def remove(self, ref: str, *, force: bool = False) -> list[tuple[str, str]]:
        """The name is gone, and with the last of its names the image: ("untagged" | "deleted", what) in order.
        Raises Conflict while a container uses it; *force* leaves that container a nameless image."""
        image = self.image(ref)
        if image.host_root:
            raise Forbidden("image host: the built-in image cannot be removed")
        by_name = not image.id.removeprefix("sha256:").startswith(ref.removeprefix("sha256:"))
        with self._lock:
            gone = (normal(ref),) if by_name else image.tags
            left = tuple(t for t in image.tags if t not in gone)
            if not by_name and len(image.tags) > 1 and not force:
                raise Conflict(
                    f"conflict: unable to delete {short(image.id[7:])} (must be forced) - image is referenced in"
                    " multiple repositories"
                )
            users = [c for c in self._store.all(Container) if c.image == image.id]
            if users and not left and not force:
                raise Conflict(
                    f'conflict: unable to remove repository reference "{ref}" (must force) - container'
                    f" {short(users[0].id)} is using its referenced image {short(image.id[7:])}"
                ) from None
            self._store.commit(put=[replace(image, tags=left)])
            done = [("untagged", tag) for tag in gone]
            if not left and not users:
                done += self._delete(image)
        for action, what in done:
            if action == "deleted" and what != image.id:
                continue  # A layer is no image.
            self._tell("untag" if action == "untagged" else "delete", image.id, {"name": image.id})
        return done

    def history(self, ref: str) -> list[Step]:
        """Newest first."""
        return list(reversed(self.image(ref).history))

    def prune(self, wanted: Callable[[Image], bool]) -> list[tuple[str, str]]:
        """Remove every image that is *wanted* gone and that no container uses."""
        done: list[tuple[str, str]] = []
        used, space = {c.image for c in self._store.all(Container)}, 0
        for image in self._store.all(Image):
            if image.id not in used and wanted(image):
                with self._lock:
                    done += [("untagged", tag) for tag in image.tags] + self._delete(image)
                    space += image.size
        self._tell("prune", "", {"reclaimed": str(space)})
        return done

    def pull(self, name: str) -> Image:
        """The image as a registry has it, by skopeo.  Raises NotFound or Failed."""
        tag = normal(name)
        skopeo = shutil.which("skopeo")
        if skopeo is None:
            raise Failed(f"cannot pull {tag}: skopeo is not installed; use `import` or `load`")
        with tempfile.TemporaryDirectory(prefix=f"new-{os.getpid()}-", dir=self.layers.root) as place:
            spool = os.path.join(place, "image.tar")
            # As in Docker, a registry on this host's loopback may do without a certificate.
            how = ["--src-tls-verify=false"] if on_loopback(tag) else []
            command = [skopeo, "copy", "--quiet", *how, f"docker://{tag}", f"docker-archive:{spool}:{tag}"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                why = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "skopeo failed"
                kind = NotFound if "manifest unknown" in why or "not found" in why else Failed
                raise kind(f"pull access denied or no such image: {tag}: {why}")
            with open(spool, "rb") as archive:
                self.load(archive)
        self._tell("pull", tag, {"name": tag})
        return self.image(tag)

    def sweep(self) -> None:
        """Layers that no image has, and archives half unpacked, are gone."""
        with self._lock:
            self.layers.keep_only(diff for image in self._store.all(Image) for diff in image.layers)

    def _keep(self, image: Image, document: bytes) -> None:
        with self._lock:
            path = self._path(image)
            with open(path + ".new", "wb") as target:
                target.write(document)
            os.rename(path + ".new", path)
            known = self._store.get(Image, image.id)
            self._name(replace(image, tags=known.tags if known else ()), image.tags)

    def _name(self, image: Image, tags: Iterable[str]) -> None:
        new = tuple(tags)
        robbed = [
            replace(other, tags=tuple(t for t in other.tags if t not in new))
            for other in self._store.all(Image)
            if other.id != image.id and set(other.tags) & set(new)
        ]
        own = replace(image, tags=tuple(dict.fromkeys((*image.tags, *new))), tagged=time.time_ns() if new else 0)
        self._store.commit(put=[*robbed, own])

    def _delete(self, image: Image) -> list[tuple[str, str]]:
        self._store.commit(delete=[image])
        if os.path.exists(self._path(image)):
            os.unlink(self._path(image))
        others = {diff for other in self._store.all(Image) for diff in other.layers}
        for diff in set(image.layers) - others:
            shutil.rmtree(self.layers.path(diff), ignore_errors=True)
        return [("deleted", image.id), *(("deleted", diff) for diff in image.layers if diff not in others)]

    def _path(self, image: Image) -> str:
        return os.path.join(self._configs, image.id.removeprefix("sha256:") + ".json")

    def _document(self, image: Image) -> bytes:
        with open(self._path(image), "rb") as source:
            return source.read()


def _architecture() -> str:
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
