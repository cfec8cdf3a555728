"""Telling machines on the segment of a link that an address is there, for those who remember another MAC for it."""

import socket
from collections.abc import Sequence

from bascule.model.addresses import IPAddress
from bascule.wire.probes import announcement


def announce(link: str, addresses: Sequence[IPAddress]) -> None:
    """Tell of each of *addresses* once, from *link*, in the namespace of this thread.  Nothing where *link* is not
    there, or down."""
    try:
        # Without a protocol: it hears nothing.
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as sock:
            sock.bind((link, 0))
            mac = sock.getsockname()[4].hex(":")
            for address in addresses:
                sock.send(announcement(mac, address))
    except OSError:
        return  # The link went, or goes down: nobody is there to be told.
