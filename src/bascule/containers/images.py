# ruff: noqa: ARG002
"""Images: names for stacks of layers, and how to run them."""

from collections.abc import Callable, Sequence
from typing import IO

from bascule.model.container import Image, Step
from bascule.model.errors import NotImplementedHere


class Images:
    """Every image of one data root; `host:latest` is always among them."""

    def images(self) -> list[Image]:
        raise NotImplementedHere("images")

    def image(self, ref: str) -> Image:
        raise NotImplementedHere("image")

    def import_(self, stream: IO[bytes], ref: str = "", changes: Sequence[str] = (), message: str = "") -> Image:
        raise NotImplementedHere("import")

    def load(self, stream: IO[bytes]) -> list[str]:
        raise NotImplementedHere("load")

    def save(self, refs: Sequence[str]) -> IO[bytes]:
        raise NotImplementedHere("save")

    def tag(self, ref: str, name: str) -> None:
        raise NotImplementedHere("tag")

    def remove(self, ref: str, *, force: bool = False) -> list[tuple[str, str]]:
        """("untagged" | "deleted", what) in order."""
        raise NotImplementedHere("remove")

    def history(self, ref: str) -> list[Step]:
        raise NotImplementedHere("history")

    def prune(self, wanted: Callable[[Image], bool]) -> list[tuple[str, str]]:
        raise NotImplementedHere("prune")

    def pull(self, name: str) -> Image:
        raise NotImplementedHere("pull")
