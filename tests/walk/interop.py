"""Compression with clients that others wrote: a thousand messages each come back through the hub as they were sent.

The hub uses a compressor for one message after the other, so one message may spoil the next. The sizes, the kinds and
the order of the messages are random and follow from `SEED`.
"""

import asyncio
import json
import os
import pathlib
import random
import subprocess

import aiohttp
from harness import Server
from walk.client import connect
from walk.deflate import BOTH, answer, compressed, document, inflated, offering, read_frame

SEED = 20_261_201
COUNT = 1_000
# All of these fit into the hub's queue, so none of the clients has to read while it sends.
IN_FLIGHT = 4


def interop(checks, options):
    """Compression with clients that others wrote"""
    with Server(options, "hub-deflate", "walk-interop", "--deflate", "--max-message", str(2**18)) as server:
        url = server.ws + "/echo"
        messages = list(random_messages())
        for name, client, target in (
            ("websockets", through_websockets, url),
            ("aiohttp", through_aiohttp, url),
            ("zlib", through_zlib, server),
        ):
            equal = Equal()
            with checks.part(f"{name}, {COUNT} messages, seed {SEED}"):
                try:
                    client(checks, target, messages, equal)
                finally:
                    checks.equal(f"{name}: messages that come back in order and unchanged", equal.count, COUNT)
        with checks.part(f"Node's ws, {COUNT} messages, seed {SEED}"):
            through_node(checks, url)


def through_websockets(checks, url, messages, equal):
    with connect(url) as ws:
        checks.equal("websockets: what is agreed on", answer(ws), BOTH)
        for batch in batches(messages):
            for message in batch:
                ws.send(message)
            for message in batch:
                equal(message, ws.recv(timeout=30))


def through_aiohttp(checks, url, messages, equal):
    async def run():
        async with aiohttp.ClientSession() as session, session.ws_connect(url, compress=15) as ws:
            checks.equal("aiohttp: it compresses", (ws.compress, ws.client_notakeover), (15, True))
            for batch in batches(messages):
                for message in batch:
                    await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
                for message in batch:
                    came = await ws.receive(timeout=30)
                    if came.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                        raise RuntimeError(f"instead of a message came {came}")
                    equal(message, came.data)

    asyncio.run(run())


def through_zlib(checks, server, messages, equal):
    """The system's zlib on both sides; the inflater refuses distances beyond the window that was agreed on."""
    firsts = set()
    bits = (9, 12, 15)
    share = -(-len(messages) // len(bits))
    for at, window in enumerate(bits):
        with offering(server, window=window) as stream:
            for batch in batches(messages[at * share : (at + 1) * share]):
                for message in batch:
                    is_text = isinstance(message, str)
                    stream.sendall(compressed(1 if is_text else 2, message.encode() if is_text else message, 1))
                for message in batch:
                    first, payload = read_frame(stream)
                    if first & 0xF not in (1, 2):
                        raise RuntimeError(f"instead of a message came a frame {first:#x}, {payload!r}")
                    payload = inflated(payload, window) if first & 0x40 else payload
                    equal(message, payload.decode() if first & 0xF == 1 else payload)
                    firsts.add(first)
    checks.equal("zlib: text and bytes come compressed and plain", firsts, {0x81, 0x82, 0xC1, 0xC2})


def through_node(checks, url):
    script = pathlib.Path(__file__).with_name("echo.cjs")
    ended = subprocess.run(
        ["node", script, url, str(SEED), str(COUNT)],
        # Debian's packages for Node are there; a Node from elsewhere does not look.
        env=os.environ | {"NODE_PATH": "/usr/share/nodejs"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    checks.equal("ws: nothing on its standard error", (ended.returncode, ended.stderr), (0, ""))
    extensions, wrong = json.loads(ended.stdout)
    checks.equal("ws: the extension in use", extensions, "permessage-deflate")
    checks.equal("ws: every message comes back in order and unchanged", wrong, [])


class Equal:
    """Counts equal messages; another one is an exception."""

    def __init__(self):
        self.count = 0

    def __call__(self, sent, came):
        if sent != came:
            raise ValueError(f"message {self.count} is changed: sent {shown(sent)}, received {shown(came)}")
        self.count += 1


def random_messages():
    """Text and bytes, often of about 64 KiB. Some compress well, some not at all, in any order."""
    draw = random.Random(SEED)
    kinds = (
        lambda size: ("repeat " * (size // 7 + 1))[:size],
        # The characters of two bytes are few: the hub's limit has room for them.
        document,
        lambda size: document(size).encode(),
        draw.randbytes,
        # Noise, then zeros.
        lambda size: draw.randbytes(draw.randrange(size + 1)).ljust(size, b"\0"),
    )
    for _ in range(COUNT):
        near = draw.randrange(2**16 - 1_000, 2**16 + 1_000)
        size = draw.choice((draw.randrange(600), draw.randrange(20_000), draw.randrange(200_001), near, near, near))
        yield draw.choice(kinds)(size)


def batches(messages):
    for at in range(0, len(messages), IN_FLIGHT):
        yield messages[at : at + IN_FLIGHT]


def shown(message):
    return f"{len(message)} of {type(message).__name__} that begin with {message[:40]!r}"
