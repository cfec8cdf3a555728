"""A byte there and back: round trips on one connection, or a new connection for each.  Runs as a file, in any
namespace:

    pingpong.py serve PORT
    pingpong.py trips HOST PORT SECONDS
    pingpong.py connections HOST PORT SECONDS

The client prints the median of one exchange in microseconds, then how many there were a second.
"""

import select
import socket
import statistics
import struct
import sys
import time


def serve(port: int) -> None:
    listener = socket.create_server(("", port), backlog=4096)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    peers: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                peer = listener.accept()[0]
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peers[peer.fileno()] = peer
                poll.register(peer, select.EPOLLIN)
                continue
            try:
                data = peers[number].recv(64)
                if data:
                    peers[number].send(data)
                    continue
            except ConnectionResetError:  # How our own clients end: see connections().
                pass
            poll.unregister(number)
            peers.pop(number).close()


def trips(host: str, port: int, until: float) -> list[float]:
    taken = []
    with socket.create_connection((host, port), timeout=10) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (begin := time.perf_counter()) < until:
            peer.send(b"x")
            peer.recv(64)
            taken.append(time.perf_counter() - begin)
    return taken


def connections(host: str, port: int, until: float) -> list[float]:
    taken = []
    # Closed by a reset: no port is held in TIME_WAIT, so samples do not disturb the next ones.
    reset = struct.pack("ii", 1, 0)
    while (begin := time.perf_counter()) < until:
        with socket.create_connection((host, port), timeout=10) as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            peer.send(b"x")
            peer.recv(64)
        taken.append(time.perf_counter() - begin)
    return taken


def main() -> None:
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    act = {"trips": trips, "connections": connections}[sys.argv[1]]
    seconds = float(sys.argv[4])
    taken = act(sys.argv[2], int(sys.argv[3]), time.perf_counter() + seconds)
    print(statistics.median(taken) * 1e6, len(taken) / seconds)


if __name__ == "__main__":
    main()
