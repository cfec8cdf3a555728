"""Dry runs of containers: the lines of what their beginning and their end are to the network, and nothing done.

Of root file systems, mounts, control groups and processes there are no lines: they are the runtime's, and what it
does with a bundle is not a list of commands.
"""

from bascule.containers import creating
from bascule.containers.records import running
from bascule.containers.starting import Parts
from bascule.containers.wiring import Wiring, sharing
from bascule.engine.engine import Engine
from bascule.model.container import Container, ContainerSpec


class Plans:
    """What the verbs of containers come to, on the engine's networks."""

    def __init__(self, engine: Engine, parts: Parts) -> None:
        self._engine = engine
        self._parts = parts

    def run(self, name: str, spec: ContainerSpec) -> list[str]:
        """Of a create and a start.  Raises what they would for the image, the name, the options, the networks."""
        image = self._parts.images.image(spec.image)
        creating.check(spec, image, self._parts.surroundings.controllers)
        return self._start(creating.draft(self._parts.records, name, spec, image))

    def start(self, container: Container) -> list[str]:
        if running(container.state):
            return [f"# {container.name} runs: nothing is done"]
        return self._start(container)

    def end(self, container: Container) -> list[str]:
        """Of a stop, a kill that ends it, or a removal."""
        if not running(container.state):
            return [f"# {container.name} does not run: it is on no network, and nothing is done there"]
        lines = self._engine.rehearse(lambda engine: engine.close_sandbox(container.sandbox))
        return lines or [f"# {container.name} has no network of its own"]

    def restart(self, container: Container) -> list[str]:
        return self._start(container)

    def _start(self, container: Container) -> list[str]:
        image = self._parts.images.image(container.image)
        hostname = self._parts.surroundings.hostname(container)

        def work(engine: Engine) -> None:
            engine.close_sandbox(container.sandbox)
            Wiring(engine, self._parts.records).open(container, image, hostname)

        lines = self._engine.rehearse(work)
        if lines:
            return lines
        whose = f"the container {sharing(container.spec)}'s" if sharing(container.spec) else "the host's"
        return [f"# the network is {whose}: nothing is done to it"]
