"""A relay before a server that makes the way worse: delay, a cap for each connection, silence, resets, one flipped byte.

Started as a program of its own. It prints the port that it listens on; each line on its standard input is answered with
a JSON line of what it counted so far; `hold N` first says that after N bytes more nothing goes to clients, `drop` that the
connections that were held so are ended and all goes on. It ends when its standard input does.
"""

import argparse
import json
import queue
import re
import signal
import socket
import struct
import sys
import threading
import time

BUFFER = 1 << 18
# A connection that carried more than this is a stream.
STREAM = 1 << 18
# Bytes of a direction that are on their way at most, as a window would have it.
WINDOW = 4 << 20


class Counts:
    """Over all connections."""

    def __init__(self):
        self.lock = threading.Condition()
        self.hold_at, self.drops = None, 0
        self.connections = self.streams = self.sent = self.resets = self.stalls = self.flipped = 0

    def add(self, **more):
        with self.lock:
            for name, count in more.items():
                setattr(self, name, getattr(self, name) + count)

    def obey(self, line):
        with self.lock:
            match line.split():
                case ["hold", count]:
                    self.hold_at = self.sent + int(count)
                case ["drop"]:
                    self.hold_at, self.drops = None, self.drops + 1
                    self.lock.notify_all()

    def gate(self):
        """Waits while everything is held."""
        with self.lock:
            if self.hold_at is not None and self.sent >= self.hold_at:
                drops = self.drops
                self.lock.wait_for(lambda: self.drops != drops)
                raise ConnectionAbortedError

    def claim_flip(self):
        with self.lock:
            self.flipped += 1
            return self.flipped == 1

    def text(self):
        names = ("connections", "streams", "sent", "resets", "stalls", "flipped")
        return json.dumps({name: getattr(self, name) for name in names})


class Flip:
    """Follows the answers on one connection, and flips a bit of one byte of the blob of a given size, the first time."""

    def __init__(self, counts, size, offset):
        self.counts, self.size, self.offset = counts, size, offset
        self.head, self.left, self.at, self.total = b"", 0, 0, 0

    def through(self, data):
        data, position = bytearray(data), 0
        while position < len(data):
            if self.left == 0:
                position = self.take_head(data, position)
                continue
            count = min(self.left, len(data) - position)
            inside = self.offset - self.at
            if self.total == self.size and 0 <= inside < count and self.counts.claim_flip():
                data[position + inside] ^= 1
            self.at, self.left, position = self.at + count, self.left - count, position + count
        return data

    def take_head(self, data, position):
        before = len(self.head)
        self.head += bytes(data[position : position + (1 << 16)])
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            return position + len(self.head) - before
        head = self.head[: end + 2]
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)\r\n", head)
        place = re.search(rb"(?i)\r\ncontent-range: *bytes (\d+)-\d+/(\d+)\r\n", head)
        self.left = int(length[1]) if length and b" 304 " not in head[:16] else 0
        self.at, self.total = (int(place[1]), int(place[2])) if place else (0, self.left)
        position += end + 4 - before
        self.head = b""
        return position


class Reset(Exception):
    """The connection is to be reset."""


class Connection:
    """Both directions between one client and the server."""

    def __init__(self, client, options, counts):
        self.client, self.options, self.counts = client, options, counts
        self.server = socket.create_connection(options.to)
        for side in (self.client, self.server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent, self.begin = 0, time.monotonic()
        self.flip = Flip(counts, *options.flip) if options.flip else None
        self.unit = min(BUFFER, max(1 << 14, int(options.rate / 50))) if options.rate else BUFFER
        counts.add(connections=1)
        for source, target, send in ((client, self.server, self.server.sendall), (self.server, client, self.down)):
            threading.Thread(target=self.carry, args=(source, target, send), daemon=True).start()

    def carry(self, source, target, send):
        waiting = None
        if self.options.delay:
            waiting = queue.Queue(maxsize=max(1, WINDOW // self.unit))
            threading.Thread(target=self.late, args=(waiting, target, send), daemon=True).start()
        try:
            while data := source.recv(self.unit):
                if waiting:
                    waiting.put((time.monotonic() + self.options.delay, data))
                else:
                    send(data)
            if waiting:
                waiting.put((0, b""))
            else:
                target.shutdown(socket.SHUT_WR)
        except Reset:
            self.close(hard=True)
        except OSError:
            self.close(hard=False)

    def late(self, waiting, target, send):
        """Sends what arrived once its time has come; after a failure it only empties the queue."""
        broken = False
        while True:
            when, data = waiting.get()
            time.sleep(max(0, when - time.monotonic()) if data else 0)
            try:
                if not broken and data:
                    send(data)
                elif not data:
                    if not broken:
                        target.shutdown(socket.SHUT_WR)
                    return
            except (Reset, OSError) as error:
                broken = True
                self.close(hard=isinstance(error, Reset))

    def down(self, data):
        """Towards the client, with what is asked for."""
        options = self.options
        self.counts.gate()
        if self.flip:
            data = self.flip.through(data)
        if options.reset_after and self.sent + len(data) > options.reset_after:
            self.client.sendall(data[: max(0, options.reset_after - self.sent)])
            self.counts.add(sent=max(0, options.reset_after - self.sent), resets=1)
            raise Reset
        if options.stall_after and (self.sent + len(data)) // options.stall_after > self.sent // options.stall_after:
            self.counts.add(stalls=1)
            time.sleep(options.stall_for)
        self.client.sendall(data)
        self.counts.add(sent=len(data), streams=int(self.sent <= STREAM < self.sent + len(data)))
        self.sent += len(data)
        if options.rate:
            now = time.monotonic()
            # An idle connection saves nothing up.
            self.begin = max(self.begin, now - 0.05) + len(data) / options.rate
            time.sleep(max(0, self.begin - now))

    def close(self, hard):
        if hard:
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for side in (self.client, self.server):
            try:
                # Wakes the thread that waits in recv, which a close alone does not; before a reset no end may be sent.
                side.shutdown(socket.SHUT_RD if hard and side is self.client else socket.SHUT_RDWR)
                side.close()
            except OSError:
                pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", required=True, help="HOST:PORT of the server")
    parser.add_argument("--delay", type=float, default=0, help="seconds, each way")
    parser.add_argument("--rate", type=float, default=0, help="bytes a second, each connection")
    parser.add_argument("--reset-after", type=int, default=0, help="bytes after which a connection is reset")
    parser.add_argument("--stall-after", type=int, default=0, help="bytes after which, each time, a connection is silent")
    parser.add_argument("--stall-for", type=float, default=10, help="seconds of silence")
    parser.add_argument("--flip", help="SIZE:OFFSET, the byte to flip once in the blob of this size")
    options = parser.parse_args()
    host, port = options.to.rsplit(":", 1)
    options.to = (host, int(port))
    options.flip = tuple(int(word) for word in options.flip.split(":")) if options.flip else None
    # An interrupt from the keyboard is for the benchmark, which ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    counts, listener = Counts(), socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)

    def serve():
        while True:
            client, _ = listener.accept()
            try:
                Connection(client, options, counts)
            except OSError:
                client.close()

    threading.Thread(target=serve, daemon=True).start()
    for line in sys.stdin:
        counts.obey(line)
        print(counts.text(), flush=True)


if __name__ == "__main__":
    main()
