"""What happened, told once and in order to whoever listens, and kept for those who ask later."""

import threading
from collections import deque
from collections.abc import Callable

from bascule.model.events import Event

# Docker keeps 256 (daemon/events/events.go); a busy host loses those within a second.
KEPT = 4096

Listener = Callable[[Event], None]


class Events:
    """Listeners are called on the telling thread, in the order of their subscription, and must be quick."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._kept: deque[Event] = deque(maxlen=KEPT)

    def tell(self, event: Event) -> None:
        """Every listener has been given *event* when this returns."""
        with self._lock:
            self._kept.append(event)
            for listener in self._listeners:
                listener(event)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """*listener* hears everything told from now on, until the returned function is called."""
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def since(self, start: int, until: int = 0) -> list[Event]:
        """What was told from *start* to *until* (nanoseconds since the epoch; 0: no end), as far as it is kept."""
        with self._lock:
            return [e for e in self._kept if e.time >= start and (not until or e.time <= until)]
