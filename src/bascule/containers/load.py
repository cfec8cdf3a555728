"""Archives of images: what `docker save` writes (docker-archive) and what OCI layouts are, read and written."""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from typing import IO, Any

from bascule.containers import imageconfig
from bascule.containers.layers import Digest, Layers
from bascule.containers.pack import pack, stream_archive
from bascule.containers.references import normal
from bascule.containers.unpack import clean
from bascule.model.container import Image
from bascule.model.errors import BasculeError, Invalid

# A configuration or manifest larger than this is none (the registry's own limit is 4 MiB).
DOCUMENT_MAX = 4 << 20


class Archive:
    """A seekable archive of images."""

    def __init__(self, source: IO[bytes], layers: Layers) -> None:
        try:
            # Closed with the source, which is the caller's.
            self._tar = tarfile.open(fileobj=source, mode="r:*")  # noqa: SIM115
        except tarfile.TarError as error:
            raise Invalid(f"cannot load the archive: {str(error).splitlines()[0].removesuffix(chr(58))}") from None
        self._members = {clean(m.name): m for m in self._tar if m.isreg() or m.issym()}
        self._layers = layers

    def images(self) -> Iterable[tuple[Image, bytes]]:
        """Every image in it, its layers unpacked, with the bytes of its configuration."""
        if "manifest.json" in self._members:
            for entry in self._document("manifest.json"):
                config = self._bytes(str(entry.get("Config") or ""))
                yield self._image(config, entry.get("Layers") or (), entry.get("RepoTags") or ())
        elif "index.json" in self._members:
            yield from self._index(self._document("index.json"))
        else:
            raise Invalid("cannot load the archive: it has neither a manifest.json nor an index.json")

    def _index(self, index: dict[str, Any]) -> Iterable[tuple[Image, bytes]]:
        for entry in index.get("manifests") or ():
            document = self._document(_blob(str(entry.get("digest"))))
            if "manifests" in document:
                yield from self._index(document)
                continue
            notes = entry.get("annotations") or {}
            name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name") or ""
            layers = [_blob(str(layer["digest"])) for layer in document.get("layers") or ()]
            yield self._image(self._bytes(_blob(str(document["config"]["digest"]))), layers, _names(name))

    def _image(self, config: bytes, layers: Sequence[str], tags: Sequence[str]) -> tuple[Image, bytes]:
        ident = "sha256:" + hashlib.sha256(config).hexdigest()
        image = imageconfig.read(_parsed(config, "the image's configuration"), ident)
        if len(image.layers) != len(layers):
            raise Invalid(f"image {ident}: {len(image.layers)} layers in its configuration, {len(layers)} listed")
        size = 0
        for diff, path in zip(image.layers, layers, strict=True):
            if self._layers.has(diff):
                size += self._layers.size(diff)
                continue
            with self._open(path) as stream:
                size += self._layers.add(stream, diff)[1]
        return imageconfig.read(json.loads(config), ident, tags=[normal(t) for t in tags], size=size), config

    def _open(self, path: str) -> IO[bytes]:
        member = self._members.get(clean(path))
        if member is not None and member.issym():
            # Docker links equal layers of an archive to one another.
            target = os.path.normpath(os.path.join(os.path.dirname(path), member.linkname))
            member = self._members.get(clean(target))
        stream = self._tar.extractfile(member) if member is not None else None
        if stream is None:
            raise Invalid(f"cannot load the archive: {path} is missing in it")
        return stream

    def _bytes(self, path: str) -> bytes:
        with self._open(path) as stream:
            data = stream.read(DOCUMENT_MAX + 1)
        if len(data) > DOCUMENT_MAX:
            raise Invalid(f"cannot load the archive: {path} is larger than {DOCUMENT_MAX} bytes")
        return data

    def _document(self, path: str) -> Any:
        return _parsed(self._bytes(path), path)


def _parsed(data: bytes, what: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise Invalid(f"cannot load the archive: {what}: {error}") from None


def _blob(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def _names(name: str) -> list[str]:
    try:
        return [normal(name)] if name else []
    except BasculeError:
        # An OCI layout's reference name may be any text ("1.0"); then the image has no name.
        return []


def save(images: Sequence[tuple[Image, bytes, Sequence[str]]], layers: Layers, target: IO[bytes]) -> None:
    """A docker-archive of *images* (with their configurations and the names to save) is in *target*.

    A layer is packed anew from its directory, so its digest, and with it the image's id, may differ from the one
    it was loaded with; the configuration in the archive says the new ones.
    """
    with stream_archive(target) as archive:
        written: dict[str, str] = {}
        manifest = []
        for image, config, tags in images:
            for diff in image.layers:
                if diff not in written:
                    written[diff] = _add_layer(archive, layers, diff)
            document = json.loads(config)
            document["rootfs"]["diff_ids"] = [written[diff] for diff in image.layers]
            body = (
                json.dumps(document).encode() if tuple(written[d] for d in image.layers) != image.layers else config
            )
            name = hashlib.sha256(body).hexdigest() + ".json"
            _add(archive, name, body)
            files = [_layer_file(written[diff]) for diff in image.layers]
            manifest.append({"Config": name, "RepoTags": list(tags) or None, "Layers": files})
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _layer_file(diff: str) -> str:
    return f"{diff.removeprefix('sha256:')}/layer.tar"


def _add(archive: tarfile.TarFile, name: str, body: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    archive.addfile(info, io.BytesIO(body))


def _add_layer(archive: tarfile.TarFile, layers: Layers, diff: str) -> str:
    """The layer's digest as it is packed."""
    with tempfile.TemporaryFile(dir=layers.root) as body:
        above = os.open(layers.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with stream_archive(body) as layer:
                pack(above, layers.name(diff), layer, called="", layer=True)
        finally:
            os.close(above)
        info = tarfile.TarInfo()
        info.size = body.tell()
        body.seek(0)
        packed = Digest(body).finish()
        body.seek(0)
        info.name = _layer_file(packed)
        archive.addfile(info, body)
    return packed
