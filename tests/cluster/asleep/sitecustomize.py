"""Python's sleep, under libfaketime: 0.9.10 refuses to sleep by the one clock that it is told to leave alone."""

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex, /) -> None:
    select.select([], [], [], float(seconds))


time.sleep = _sleep
