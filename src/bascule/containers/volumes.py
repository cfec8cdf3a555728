# ruff: noqa: ARG002
"""Volumes: directories that outlive containers."""

from collections.abc import Callable, Mapping

from bascule.model.container import Volume
from bascule.model.errors import NotImplementedHere


class Volumes:
    """Every volume of one data root."""

    def volumes(self) -> list[Volume]:
        raise NotImplementedHere("volumes")

    def volume(self, name: str) -> Volume:
        raise NotImplementedHere("volume")

    def create(
        self, name: str = "", labels: Mapping[str, str] | None = None, options: Mapping[str, str] | None = None
    ) -> Volume:
        raise NotImplementedHere("create")

    def remove(self, name: str, *, force: bool = False) -> None:
        raise NotImplementedHere("remove")

    def prune(self, wanted: Callable[[Volume], bool]) -> list[Volume]:
        raise NotImplementedHere("prune")
