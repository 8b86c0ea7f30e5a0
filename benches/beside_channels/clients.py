"""Many WebSocket clients in one loop that count frames and note when the last came, and do nothing else."""

import asyncio
import time

REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# Longer without a frame, and nothing comes any more.
QUIET = 4


class Client(asyncio.Protocol):
    def __init__(self, clients, request):
        self.clients = clients
        self.request = request
        self.opened = asyncio.get_running_loop().create_future()
        self.rest = b""

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        data = self.rest + data
        if not self.opened.done():
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self.rest = head
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self.opened.set_exception(RuntimeError(head.decode()))
                return
            self.opened.set_result(None)
        frames, place = 0, 0
        while len(data) - place >= 2:
            length, header = data[place + 1] & 127, 2
            if length == 126:
                length, header = int.from_bytes(data[place + 2 : place + 4], "big"), 4
            if len(data) - place < header + length:
                break
            # Pings and the like are not counted.
            frames += data[place] & 15 in (1, 2)
            place += header + length
        self.rest = data[place:]
        if frames:
            self.clients.received(frames)

    def connection_lost(self, error):
        if not self.opened.done():
            self.opened.set_exception(RuntimeError(f"closed in the handshake: {error}"))


class Clients:
    @classmethod
    async def connect(cls, port, path, count):
        self = cls()
        self.frames = 0
        self.wanted = None
        self.at = time.monotonic()
        self.all = []
        request = REQUEST.format(path=path, port=port).encode()
        loop = asyncio.get_running_loop()
        for first in range(0, count, 50):
            batch = range(first, min(first + 50, count))
            made = [loop.create_connection(lambda: Client(self, request), "127.0.0.1", port) for _ in batch]
            clients = [client for _, client in await asyncio.gather(*made)]
            await asyncio.gather(*(client.opened for client in clients))
            self.all += clients
        return self

    def received(self, frames):
        self.frames += frames
        self.at = time.monotonic()
        if self.wanted and self.frames >= self.wanted[0]:
            self.wanted[1].set_result(self.at)
            self.wanted = None

    def expect(self, each):
        """From now on, until `last`."""
        self.arrived = asyncio.get_running_loop().create_future()
        self.wanted = (self.frames + each * len(self.all), self.arrived)

    async def last(self):
        """When the last of what was expected came."""
        return await asyncio.wait_for(self.arrived, 60)

    async def settle(self):
        """When the last frame came, once no other does."""
        self.at = max(self.at, time.monotonic())
        begun, frames = self.at, self.frames
        while time.monotonic() - self.at < QUIET:
            await asyncio.sleep(0.1)
        return self.at if self.frames > frames else begun

    def close(self):
        for client in self.all:
            client.transport.abort()
