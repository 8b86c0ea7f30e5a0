"""Compression, as a client in another language negotiates it and uses it: the hub, built with the feature and without."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import zlib

from harness import Server
from walk.client import connect, frame, handshake_status
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

BOTH = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
SIZES = (10, 255, 256, 1_000, 5_000, 20_000, 60_000)


def deflate(checks, options):
    """Compression"""
    with Server(options, "hub-deflate", "walk-deflate", "--deflate") as server:
        negotiation(checks, server)
        for bits in (None, 9, 12, 15):
            echo(checks, server, bits)
        frames(checks, server)
        group(checks, server)
        refused(checks, server)
        checks.equal("it ends with exit code 0", server.stop(), 0)
    with Server(options, "hub-deflate", "walk-no-deflate") as server:
        with connect(server.ws + "/echo") as ws:
            checks.equal("without --deflate nothing is agreed on", answer(ws), None)
    without(checks, options)


def negotiation(checks, server):
    with connect(server.ws + "/echo") as ws:
        [agreed] = ws.protocol.extensions
        checks.equal("the client negotiates by itself", answer(ws), BOTH)
        takeover = not agreed.remote_no_context_takeover or not agreed.local_no_context_takeover
        checks.true("no context is taken over, either way", not takeover, agreed)
    with connect(server.ws + "/echo", compression=None) as ws:
        checks.equal("who does not offer is not answered", answer(ws), None)
    for what, offer, status in (
        ("an unknown parameter", "permessage-deflate; magic", 101),
        ("a window of 8 bits", "permessage-deflate; server_max_window_bits=8", 101),
        ("another extension", "x-webkit-deflate-frame", 101),
        ("no list of extensions", "permessage-deflate; =", 400),
    ):
        headers = {"Sec-WebSocket-Extensions": offer}
        answered = handshake_status(server.ws + "/echo", compression=None, additional_headers=headers)
        checks.equal(f"{what}, offered", answered, status)


def echo(checks, server, bits):
    with window(server, "/echo", bits) as ws:
        [agreed] = ws.protocol.extensions
        checks.equal(f"a window of {bits or 'any'} bits is agreed on", agreed.remote_max_window_bits, bits or 15)
        for size in SIZES:
            text = document(size)
            for kind, message in (("text", text), ("binary", text.encode()), ("noise", os.urandom(size))):
                ws.send(message)
                whole = ws.recv(timeout=5)
                third = size // 3
                ws.send([message[:third], message[third : 2 * third], message[2 * third :]])
                fragmented = ws.recv(timeout=5)
                what = f"{kind} of {size} characters with a window of {bits or 'any'} bits"
                checks.true(f"{what} comes back", whole == message == fragmented)


def frames(checks, server):
    """The bytes on the wire."""
    message = document(5_000).encode()
    with offering(server) as stream:
        for fragments in (1, 4):
            stream.sendall(compressed(1, message, fragments))
            first, payload = read_frame(stream)
            checks.equal(f"in {fragments} frames: the answer is one frame with RSV1", first, 0xC1)
            checks.true("much shorter than the message", len(payload) < len(message) / 3, len(payload))
            checks.equal("and inflates to it", inflated(payload), message)
        for size, expected in ((255, 0x81), (256, 0xC1)):
            stream.sendall(compressed(1, message[:size], 1))
            checks.equal(f"the first byte of {size} bytes", read_frame(stream)[0], expected)


def group(checks, server):
    with (
        window(server, "/group/lock/", 12) as sender,
        connect(server.ws + "/group/lock/", compression=None) as plain,
        offering(server, "/group/lock/") as other,
    ):
        messages = [document(size) for size in SIZES]
        for message in messages:
            sender.send(message)
        for what, member in (("the sender", sender), ("a member without compression", plain)):
            got = [member.recv(timeout=5) for _ in messages]
            checks.true(f"{what} gets every broadcast", got == messages)
        got = [read_frame(other) for _ in messages]
        texts = [inflated(payload) if first & 0x40 else payload for first, payload in got]
        checks.true("a member with another window does, too", [text.decode() for text in texts] == messages)


def refused(checks, server):
    hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
    for what, data, code in (
        ("RSV1 on a ping", frame(0xC9, b""), 1002),
        ("RSV1 on a close frame", frame(0xC8, b"\x03\xe8"), 1002),
        ("RSV1 on a continuation", frame(0x41, hello[:3]) + frame(0xC0, hello[3:]), 1002),
        ("another reserved bit", frame(0xE1, hello), 1002),
        ("what is no DEFLATE", frame(0xC1, b"\xff\xff"), 1007),
        ("bad UTF-8 inside", compressed(1, b"abc\xff" + b"a" * 999, 1), 1007),
        ("a bomb of 100 MB", frame(0xC2, bomb(100)), 1009),
        ("a bomb in fragments", compressed(2, b"\0" * 10_000_000, 3), 1009),
        ("a kilobyte above the limit", compressed(2, b"\0" * (2**16 + 1024), 1), 1009),
    ):
        with offering(server) as stream:
            stream.sendall(data)
            checks.equal(what, closed_with(stream), code)
    resident = resident_bytes(server)
    for _ in range(20):
        with offering(server) as stream:
            stream.sendall(frame(0xC2, bomb(100)))
            closed_with(stream)
    grown = resident_bytes(server) - resident
    checks.true("twenty bombs leave nothing behind", grown < 4_000_000, f"{grown} bytes")


def without(checks, options):
    """The hub as it is built by default."""
    hub = (options.examples / "hub").resolve()
    ended = subprocess.run([hub, "--deflate"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=15)
    checks.equal("a hub without the feature refuses --deflate", ended.returncode, 2)
    checks.true("and says how to build it", "--features deflate" in ended.stderr, ended.stderr)


def window(server, path, bits):
    """A connection that offers a window of this size, both ways."""
    offer = ClientPerMessageDeflateFactory(server_max_window_bits=bits, client_max_window_bits=bits or True)
    return connect(server.ws + path, compression=None, extensions=[offer])


@contextlib.contextmanager
def offering(server, path="/echo", window=15):
    """A connection whose frames are written and read as bytes; the hub compresses with a window of this many bits."""
    bits = f"; server_max_window_bits={window}" if window < 15 else ""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as stream:
        lines = (
            f"GET {path} HTTP/1.1",
            f"Host: {server.authority}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            f"Sec-WebSocket-Extensions: permessage-deflate{bits}",
        )
        stream.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += read_exactly(stream, 1)
        if not head.startswith(b"HTTP/1.1 101 ") or (BOTH + bits).encode() not in head:
            raise RuntimeError(f"the handshake was answered {head!r}")
        yield stream


def answer(ws):
    return ws.response.headers.get("Sec-WebSocket-Extensions")


def document(size):
    """Text that compresses as JSON does, with a few characters that take more than one byte."""
    records = [{"id": number, "status": "shipped", "to": "Zoë, Łódź"} for number in range(size // 20)]
    return json.dumps(records, ensure_ascii=False)[: size - 1].ljust(size, "é")


def compressed(opcode, message, fragments):
    """The frames of a compressed message."""
    compressor = zlib.compressobj(wbits=-15)
    payload = (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    size = -(-len(payload) // fragments)
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    firsts = [0x40 | opcode] + [0] * (len(parts) - 1)
    firsts[-1] |= 0x80
    return b"".join(frame(first, part) for first, part in zip(firsts, parts, strict=True))


def bomb(megabytes):
    compressor = zlib.compressobj(9, wbits=-15)
    megabyte = compressor.compress(b"\0" * 2**20) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return (megabyte * megabytes)[:-4]


def inflated(payload, window=15):
    inflater = zlib.decompressobj(wbits=-window)
    message = inflater.decompress(payload + b"\0\0\xff\xff")
    if inflater.unused_data or inflater.unconsumed_tail:
        raise ValueError("bytes are left behind the compressed message")
    return message


def read_frame(stream):
    """The first byte of the next frame, and its payload."""
    stream.settimeout(5)
    first, length = read_exactly(stream, 2)
    if length == 126:
        length = int.from_bytes(read_exactly(stream, 2), "big")
    elif length == 127:
        length = int.from_bytes(read_exactly(stream, 8), "big")
    return first, read_exactly(stream, length)


def closed_with(stream):
    """The code in the close frame, or the frame that came instead."""
    first, payload = read_frame(stream)
    return int.from_bytes(payload[:2], "big") if first == 0x88 else (first, payload)


def read_exactly(stream, length):
    data = b""
    while len(data) < length:
        piece = stream.recv(length - len(data))
        if not piece:
            raise EOFError(f"the stream ended after {len(data)} of {length} bytes")
        data += piece
    return data


def resident_bytes(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024
