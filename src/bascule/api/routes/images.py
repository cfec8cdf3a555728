"""Images: list, inspect, import, load, save, pull, tag, remove, prune."""

from collections.abc import Iterator
from typing import IO

from bascule.api.ask import JSON, TAR, Ask, Reply, Stream, empty, reply
from bascule.api.shapes import image as shape
from bascule.api.shapes import image_answer as answer
from bascule.api.shapes import values
from bascule.api.table import Media, Route, filters, flag, text, texts
from bascule.model.container import Image
from bascule.model.errors import Invalid

PIECE = 256 << 10


def listing(ask: Ask) -> Reply:
    asked = ask.filters(shape.FILTERS)
    images = ask.containers.images
    found = shape.matching(
        images.images(),
        asked,
        before=images.image(asked.get("before")[0]) if "before" in asked else None,
        since=images.image(asked.get("since")[0]) if "since" in asked else None,
        now=ask.house.now(),
    )
    return reply([shape.summary(shape.named(image, asked.get("reference")), None, ask.version) for image in found])


def inspect(ask: Ask) -> Reply:
    return reply(shape.inspect(ask.containers.images.image(ask.name), ask.version))


def history(ask: Ask) -> Reply:
    images = ask.containers.images
    return reply(shape.history(images.history(ask.name), images.image(ask.name)))


def told(*documents: dict[str, str]) -> Iterator[bytes]:
    return (values.encode(document) for document in documents)


def create(ask: Ask) -> Stream:
    """`pull` (fromImage) and `import` (fromSrc=-).  Progress comes line by line, and errors after the head too."""
    source, name, tag = ask.text("fromSrc"), ask.text("fromImage"), ask.text("tag")
    if name:
        return Stream(_pull(ask, f"{name}{'@' if tag.startswith('sha256:') else ':'}{tag}" if tag else name), JSON)
    if source != "-":
        raise Invalid("import: only a tar in the request's body (fromSrc=-) can be imported")
    repository = ask.text("repo")
    made = ask.containers.images.import_(
        ask.upload(),
        f"{repository}:{tag}" if repository and tag else repository,
        [line for text in ask.texts("changes") for line in text.splitlines()],
        ask.text("message"),
    )
    return Stream(told({"status": made.id}), JSON)


def _pull(ask: Ask, name: str) -> Iterator[bytes]:
    yield from told({"status": f"Pulling from {name}"})
    image = ask.containers.images.pull(name)
    yield from told({"status": f"Digest: {image.id}"}, {"status": f"Status: Downloaded newer image for {name}"})


def load(ask: Ask) -> Stream:
    names = ask.containers.images.load(ask.upload())
    return Stream(
        told(
            *({"stream": f"Loaded image{' ID' if name.startswith('sha256:') else ''}: {name}\n"} for name in names)
        ),
        JSON,
    )


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """A file's bytes; it is closed at the end, or when nobody wants more."""
    with file:
        while data := file.read(PIECE):
            yield data


def save(ask: Ask) -> Stream:
    asked = [ask.name] if "name" in ask.params else ask.texts("names")
    named = [name for text in asked for name in text.split(",") if name]
    if not named:
        raise Invalid("no image names were given (names=…)")
    return Stream(pieces(ask.containers.images.save(named)), TAR)


def tag(ask: Ask) -> Reply:
    repository, label = ask.text("repo"), ask.text("tag")
    if not repository:
        raise Invalid("invalid reference format")
    ask.containers.images.tag(ask.name, f"{repository}:{label}" if label else repository)
    return empty(201)


def remove(ask: Ask) -> Reply:
    return reply(shape.removed(ask.containers.images.remove(ask.name, force=ask.flag("force"))))


def prune(ask: Ask) -> Reply:
    asked, now = ask.filters(shape.PRUNE), ask.house.now()
    unnamed_only, until = asked.flag("dangling") is not False, asked.until(now)

    def wanted(image: Image) -> bool:
        return (
            not (unnamed_only and image.tags)
            and (until is None or image.created <= until)
            and asked.labels(image.config.labels)
            and not ("label!" in asked and asked.labels(image.config.labels, "label!"))
        )

    before = {image.id: image.size for image in ask.containers.images.images()}
    gone = ask.containers.images.prune(wanted)
    space = sum(before.get(what, 0) for action, what in gone if action == "deleted")
    return reply({"ImagesDeleted": shape.removed(gone) or None, "SpaceReclaimed": space})


TOLD = Media((JSON,), answer.Progress)
NAMES = texts("names", "The images' names, each in a parameter of its own, or with commas between them.")
PLATFORM = text("platform", "Without effect.")

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/images/json",
        listing,
        says="List images",
        query=(
            filters(shape.FILTERS),
            flag("all", "Without effect: there are no images between others."),
            flag("digests", "Without effect."),
            flag("shared-size", "Without effect."),
            flag("manifests", "Without effect."),
        ),
        gives={200: list[answer.ImageSummary]},
        refuses=(404, 409),
    ),
    Route(
        "POST",
        "/images/create",
        create,
        "stream",
        says="Pull an image, or import a tar as one",
        query=(
            text("fromImage", "What is pulled."),
            text("fromSrc", "`-`: the tar is the body."),
            text("repo", "The imported image's name."),
            text("tag", "Its tag, or the tag or digest that is pulled."),
            text("message", "A comment on the import."),
            texts("changes", "A Dockerfile's instructions, each in a parameter of its own, or one a line."),
            PLATFORM,
        ),
        gives={200: TOLD},
        refuses=(404, 409),
    ),
    Route(
        "POST",
        "/images/load",
        load,
        "stream",
        says="Load the images in a tar",
        query=(flag("quiet", "Without effect."), PLATFORM),
        gives={200: TOLD},
    ),
    Route(
        "GET",
        "/images/get",
        save,
        slow=True,
        says="Several images as one tar",
        query=(NAMES, PLATFORM),
        gives={200: Media((TAR,))},
        refuses=(404, 409),
    ),
    Route(
        "POST",
        "/images/prune",
        prune,
        slow=True,
        says="Remove the images that nothing uses",
        query=(filters(shape.PRUNE),),
        gives={200: answer.ImagesPruned},
    ),
    Route(
        "GET",
        "/images/{name}/json",
        inspect,
        says="Inspect an image",
        query=(flag("manifests", "Without effect."), PLATFORM),
        gives={200: answer.Image},
        refuses=(409,),
    ),
    Route(
        "GET",
        "/images/{name}/history",
        history,
        says="What an image was made by",
        query=(PLATFORM,),
        gives={200: list[answer.HistoryStep]},
        refuses=(409,),
    ),
    Route(
        "GET",
        "/images/{name}/get",
        save,
        slow=True,
        says="An image as a tar",
        query=(NAMES, PLATFORM),
        gives={200: Media((TAR,))},
        refuses=(409,),
    ),
    Route(
        "POST",
        "/images/{name}/tag",
        tag,
        says="Give an image a further name",
        query=(text("repo", "The name."), text("tag", "Its tag; latest where there is none.")),
        gives={201: None},
        refuses=(403, 409),
    ),
    Route(
        "DELETE",
        "/images/{name}",
        remove,
        slow=True,
        says="Remove an image, or one of its names",
        query=(
            flag("force", "Though containers that do not run use it."),
            flag("noprune", "Without effect: images have no parents here."),
            PLATFORM,
        ),
        gives={200: list[answer.ImageRemoved]},
        refuses=(403, 409),
    ),
)
