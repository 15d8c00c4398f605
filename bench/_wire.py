"""
A wire between two interfaces of a network namespace: frames late, lost and out of order.

    python _wire.py '{"log": "frames", "seed": 1, "ways": [["a", "b", {"delay_ms": 5}]]}'

Frames are taken and put by packet sockets, one thread a way. What became of each is written to
the log at the end, which is that of standard input, or SIGTERM.
"""

from __future__ import annotations

from array import array
import contextlib
from dataclasses import dataclass
import heapq
import json
import os
from pathlib import Path
import random
import select
import signal
import socket
import struct
import sys
import threading
import time

_ALL_FRAMES = 3
_PACKET, _VNET_HEADER, _IGNORE_OUTGOING = 263, 15, 23
_STAMPS = 35
_LARGEST = 1 << 17
_STAMP = struct.Struct('<qq')
#: longest sleep: how late an end is noticed [s]
_LONGEST_S = 0.1
#: numbers a frame in the log: way, came [ns], left [ns] or LOST, bytes
COLUMNS = 4
LOST = -1


@dataclass(frozen=True)
class Way:
    """What is done to the frames of one direction."""

    delay_ms: float = 0.0
    #: the delay is drawn evenly from so much less to so much more
    jitter_ms: float = 0.0
    #: share that never arrives
    loss: float = 0.0
    #: share that is held by `late_ms` more: later ones overtake it
    late: float = 0.0
    late_ms: float = 0.0

    def hold_ns(self, rng: random.Random) -> int | None:
        """Return how long the next frame is held [ns], None where it is lost."""
        lost, late, even = rng.random(), rng.random(), rng.uniform(-1.0, 1.0)
        if lost < self.loss:
            return None
        held_ms = self.delay_ms + even * self.jitter_ms + self.late_ms * (late < self.late)
        return max(0, round(held_ms * 1e6))


def packets(interface: str) -> socket.socket:
    """Open an interface for whole frames, with what the kernel left undone of their checksums."""
    # without a protocol: nothing is taken before all is set
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(_PACKET, _VNET_HEADER, 1)
    made.setsockopt(_PACKET, _IGNORE_OUTGOING, 1)
    made.setsockopt(socket.SOL_SOCKET, _STAMPS, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    made.bind((interface, _ALL_FRAMES))
    made.setblocking(False)
    return made


class Carrier:
    """One direction."""

    def __init__(self, number: int, source: socket.socket, sink: socket.socket, way: Way,
                 rng: random.Random) -> None:
        self._number, self._source, self._sink = number, source, sink
        self._way, self._rng = way, rng
        self._held: list[tuple[int, int, int, bytes]] = []
        self._count = 0
        self.log = array('q')

    def carry(self, stopped: threading.Event) -> None:
        """Take and put frames until told to stop."""
        while not stopped.is_set():
            self._put()
            wait_s = _LONGEST_S
            if self._held:
                wait_s = min(wait_s, max(0.0, (self._held[0][0] - time.time_ns()) / 1e9))
            if select.select([self._source], [], [], wait_s)[0]:
                self._take()

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, more, *_ = self._source.recvmsg(_LARGEST, 64)
                came_ns = time.time_ns()
                for _, kind, data in more:
                    if kind == _STAMPS:
                        second, rest = _STAMP.unpack(data)
                        came_ns = second * 10**9 + rest
                held_ns = self._way.hold_ns(self._rng)
                if held_ns is None:
                    self.log.extend((self._number, came_ns, LOST, len(frame)))
                    continue
                self._count += 1
                heapq.heappush(self._held, (came_ns + held_ns, self._count, came_ns, frame))

    def _put(self) -> None:
        while self._held and self._held[0][0] <= time.time_ns():
            _, _, came_ns, frame = heapq.heappop(self._held)
            left_ns = LOST
            # an interface that is full or gone loses it
            with contextlib.suppress(OSError):
                self._sink.send(frame)
                left_ns = time.time_ns()
            self.log.extend((self._number, came_ns, left_ns, len(frame)))


def main() -> int:
    """Carry frames; say when that has begun."""
    asked = json.loads(sys.argv[1])
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        # where it is allowed: frames are to be as late as was asked for
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(20))
    sys.setswitchinterval(1e-4)
    names = {name for way in asked['ways'] for name in way[:2]}
    ends = {name: packets(name) for name in names}
    carriers = [Carrier(n, ends[source], ends[sink], Way(**way),
                        random.Random(f'{asked["seed"]} {n}'))
                for n, (source, sink, way) in enumerate(asked['ways'])]
    threads = [threading.Thread(target=each.carry, args=(stopped,)) for each in carriers]
    for thread in threads:
        thread.start()
    print('carrying', flush=True)
    while not stopped.is_set():
        if select.select([sys.stdin], [], [], _LONGEST_S)[0] and not sys.stdin.read(1):
            stopped.set()
    for thread in threads:
        thread.join()
    Path(asked['log']).write_bytes(b''.join(each.log.tobytes() for each in carriers))
    return 0


if __name__ == '__main__':
    sys.exit(main())
