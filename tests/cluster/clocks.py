"""A daemon's wall clock that is wrong: as libfaketime tells it, and all that the daemon starts."""

from collections.abc import Mapping
from pathlib import Path

from tests.root.ground import ROOT

PRELOADED = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
REASON = "needs libfaketime: apt-get install libfaketime"
HOUR, DAY = 3600.0, 86400.0


def shared() -> set[Path]:
    """What libfaketime's processes share memory by, and leave behind where they are killed."""
    return {path for path in Path("/dev/shm").iterdir() if "faketime" in path.name}


class Clock:
    """Ahead by *seconds*, or behind; who looks at it finds out within a second that it was set."""

    def __init__(self, place: Path, seconds: float) -> None:
        self._place = place
        self.set(seconds)

    def set(self, seconds: float) -> None:
        fresh = self._place.with_suffix(".new")
        fresh.write_text(f"{seconds:+.0f}\n")
        fresh.rename(self._place)

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": str(PRELOADED),
            "FAKETIME_TIMESTAMP_FILE": str(self._place),
            "FAKETIME_CACHE_DURATION": "1",
            # Nobody sets that one.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": f"{Path(__file__).parent / 'asleep'}:{ROOT}/src:{ROOT}",
        }
