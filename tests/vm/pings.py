"""Pings that go on while something is done to what carries them."""

import re
import signal
import subprocess
import tempfile
from typing import Any


class Pings:
    """Fifty a second from the namespace at *path*, from now until `end`."""

    def __init__(self, path: str, address: str) -> None:
        line = ["nsenter", f"--net={path}", "ping", "-n", "-i", "0.02", "-W", "5", address]
        # A pipe that nobody reads is full after a thousand lines.
        self._answers = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- `end` closes it.
        self._pinging = subprocess.Popen(line, stdout=self._answers)

    def end(self) -> dict[str, Any]:
        """How many were sent since, and which of those got lost; what is still on its way is not counted."""
        self._pinging.send_signal(signal.SIGINT)
        self._pinging.wait(60)
        with self._answers as answers:
            answers.seek(0)
            out = answers.read()
        answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", out)}
        last = max(answered, default=0)
        return {"sent": last, "lost": sorted(set(range(1, last)) - answered)}
