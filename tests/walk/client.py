"""The WebSocket client of the walk: every wait has a limit, every refusal and every close is a value."""

import contextlib
import json
import socket
import time

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync import client


def connect(url, **options):
    """An open connection, to be used with `with`; it keeps whatever arrives, however long nobody reads."""
    return client.connect(url, proxy=None, max_queue=None, open_timeout=10, close_timeout=5, **options)


def handshake_status(url, **options):
    """The HTTP status that answers a handshake, 101 where the connection opens."""
    try:
        with connect(url, **options):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def raw_status(port, method, path, headers):
    """The same for a request that no client would send."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
        stream.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(stream.makefile("rb").readline().split()[1])


def receive(ws, seconds=5):
    return json.loads(ws.recv(timeout=seconds))


def receive_until(ws, last, seconds=10):
    """All messages up to the first for which `last` holds."""
    end = time.monotonic() + seconds
    messages = []
    while not messages or not last(messages[-1]):
        messages.append(receive(ws, seconds=max(0, end - time.monotonic())))
    return messages


def close_code(ws, seconds=5):
    """The code in the server's close frame, or what happened instead."""
    end = time.monotonic() + seconds
    try:
        while True:
            ws.recv(timeout=max(0, end - time.monotonic()))
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else f"no close frame: {closed}"
    except TimeoutError:
        return "still open"


def frame(first, payload, masked=True):
    """A frame as bytes, right or wrong; the mask is zero, so the payload goes as it is."""
    mask = b"\0\0\0\0" if masked else b""
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        length = bytes([bit | len(payload)])
    elif len(payload) < 2**16:
        length = bytes([bit | 126]) + len(payload).to_bytes(2, "big")
    else:
        length = bytes([bit | 127]) + len(payload).to_bytes(8, "big")
    return bytes([first]) + length + mask + payload


def quiet(ws):
    try:
        return receive(ws, seconds=0.3)
    except TimeoutError:
        return "nothing"


def order_in(body):
    """The order in an answer to GET, as a snapshot has it: without the address of its page."""
    return {name: value for name, value in body.items() if name != "tracking_url"}


def says_why(text):
    """Whether somebody can read it: a few words in plain text, or in the values of a JSON object."""
    with contextlib.suppress(TypeError, ValueError):
        body = json.loads(text)
        text = " ".join(str(value) for value in body.values()) if isinstance(body, dict) else ""
    return isinstance(text, str) and len(text.split()) >= 3
