"""A Django process with an unmodified channels_redis, driven by lines of JSON: requests come in, one answer goes out for each.

    {"id": 1, "do": "group_send", "group": "g", "message": {"type": "a.b"}}  ->  {"id": 1, "ok": null}
    {"id": 2, "do": "send", "channel": "c", "message": {"type": "a.b"}}      ->  {"id": 2, "error": "ChannelFull", "text": ""}

Requests run at the same time, so a `receive` may wait while others go on. The only argument is the layer's entry of
`CHANNEL_LAYERS`. What JSON has no form for is an object of one key: {"$bytes": base64}, {"$int": decimal}, {"$float": "nan"}.
The end of its input ends the process. `django.rs` beside this file has a method for each request.
"""

import asyncio
import base64
import json
import logging
import sys
import time

import django
from channels.layers import get_channel_layer
from django.conf import settings


class Peer:
    def __init__(self, layer):
        self.layer = layer
        # A receive that was not answered in time goes on: to cancel it is how a consumer ends.
        self.receiving = {}
        self.crowds = {}
        self.logged = []

    async def new_channel(self):
        return await self.layer.new_channel()

    async def group_add(self, group, channel):
        await self.layer.group_add(group, channel)

    async def group_discard(self, group, channel):
        await self.layer.group_discard(group, channel)

    async def send(self, channel, message):
        await self.layer.send(channel, decoded(message))

    async def group_send(self, group, message):
        await self.layer.group_send(group, decoded(message))

    async def group_sends(self, group, messages):
        """One after the other, as fast as it goes; returns what each took, in seconds."""
        took = []
        for message in messages:
            message = decoded(message)
            started = time.perf_counter()
            await self.layer.group_send(group, message)
            took.append(time.perf_counter() - started)
        return took

    async def receive(self, channel, timeout):
        """The next message of the channel; null if none comes in time."""
        task = self.receiving.get(channel)
        if task is None:
            task = self.receiving[channel] = asyncio.ensure_future(self.layer.receive(channel))
        done, _ = await asyncio.wait([task], timeout=timeout)
        if not done:
            return None
        del self.receiving[channel]
        return {"message": encoded(task.result())}

    async def leave(self, channel):
        """What the end of a consumer is to the layer: its receive is cancelled."""
        task = self.receiving.pop(channel, None) or asyncio.ensure_future(self.layer.receive(channel))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    async def crowd(self, group, members):
        """So many channels that read all the time and are in the group."""
        channels = [await self.layer.new_channel() for _ in range(members)]
        for channel in channels:
            await self.layer.group_add(group, channel)
        self.crowds[group] = [[] for _ in channels]
        for channel, received in zip(channels, self.crowds[group]):
            self.receiving[channel] = asyncio.ensure_future(self.read(channel, received))
        return channels

    async def crowd_received(self, group, total, timeout):
        """What each member of the crowd has received, once it is so much in all, or the time is over."""
        until = time.monotonic() + timeout
        while sum(map(len, self.crowds[group])) < total and time.monotonic() < until:
            await asyncio.sleep(0.01)
        return [[encoded(message) for message in received] for received in self.crowds[group]]

    async def read(self, channel, received):
        while True:
            try:
                received.append(await self.layer.receive(channel))
            except Exception as error:
                # Nobody awaits this task.
                self.logged.append(f"ERROR {channel} of a crowd reads no more: {error!r}")
                return

    async def flush(self):
        await self.layer.flush()

    async def logs(self):
        """What channels_redis has logged since this was last asked for."""
        logged, self.logged = self.logged, []
        return logged


class Log(logging.Handler):
    def __init__(self, peer):
        super().__init__()
        self.peer = peer

    def emit(self, record):
        text = f"{record.levelname} {record.getMessage()}"
        if record.exc_info:
            text += f": {record.exc_info[1]!r}"
        self.peer.logged.append(text)


def encoded(value):
    match value:
        case dict():
            return {key: encoded(inner) for key, inner in value.items()}
        case list() | tuple():
            return [encoded(inner) for inner in value]
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case bool():
            return value
        case int() if not -(2**63) <= value < 2**64:
            return {"$int": str(value)}
        case float() if value != value or value in (float("inf"), float("-inf")):
            return {"$float": str(value)}
        case _:
            return value


def decoded(value):
    match value:
        case {"$bytes": text}:
            return base64.b64decode(text)
        case {"$int": text}:
            return int(text)
        case {"$float": text}:
            return float(text)
        case dict():
            return {key: decoded(inner) for key, inner in value.items()}
        case list():
            return [decoded(inner) for inner in value]
        case _:
            return value


async def answer(peer, request):
    number = request.pop("id")
    try:
        method = getattr(peer, request.pop("do"))
        line = {"id": number, "ok": await method(**request)}
    except Exception as error:
        line = {"id": number, "error": type(error).__name__, "text": str(error)}
    print(json.dumps(line), flush=True)


async def serve():
    peer = Peer(get_channel_layer())
    logger = logging.getLogger("channels_redis")
    logger.setLevel(logging.INFO)
    logger.addHandler(Log(peer))

    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"id": 0, "ok": None}), flush=True)
    tasks = set()
    while line := await reader.readline():
        task = asyncio.ensure_future(answer(peer, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def main():
    settings.configure(CHANNEL_LAYERS={"default": json.loads(sys.argv[1])})
    django.setup()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(serve())


if __name__ == "__main__":
    main()
