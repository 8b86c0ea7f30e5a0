"""The hub example: an echo, and groups in each way that a message reaches a member."""

import json

from harness import Server
from walk.client import close_code, connect, handshake_status, quiet, receive


def hub(checks, options):
    """The hub"""
    with Server(options, "hub", "walk-hub", "--max-message", "1000") as server:
        echo(checks, server)
        for way in ("events", "relay"):
            events(checks, server, way)
        broadcast(checks, server)
        checks.equal("a group's name that is no slug", handshake_status(server.ws + "/group/a%20b/"), 404)
        checks.equal("it ends with exit code 0", server.stop(), 0)


def echo(checks, server):
    with connect(server.ws + "/echo") as ws:
        for message in ("text, é and 🐦", b"\x00\xff", "", "a" * 1000):
            ws.send(message)
            checks.equal(f"echo of {message[:16]!r}", ws.recv(timeout=5), message)
        ws.send("a" * 1001)
        checks.equal("a message beyond --max-message", close_code(ws), 1009)


def broadcast(checks, server):
    with (
        connect(server.ws + "/group/harbour/") as sender,
        connect(server.ws + "/group/harbour/") as member,
        connect(server.ws + "/group/elsewhere/") as stranger,
    ):
        messages = [f"not JSON, {number}" for number in range(100)]
        for message in messages:
            sender.send(message)
        checks.equal("a member gets a broadcast verbatim", [member.recv(timeout=5) for _ in messages], messages)
        checks.equal("so does its sender", [sender.recv(timeout=5) for _ in messages], messages)
        checks.equal("another group does not", quiet(stranger), "nothing")


def events(checks, server, way):
    with connect(f"{server.ws}/{way}/quay/") as sender, connect(f"{server.ws}/{way}/quay/") as member:
        sent = [{"type": "ship.sighted", "number": number, "at": {"lat": 1.5}} for number in range(100)]
        for event in sent:
            sender.send(json.dumps(event))
        checks.equal(f"{way}: a member gets each event", [receive(member) for _ in sent], sent)
        checks.equal(f"{way}: so does its sender", [receive(sender) for _ in sent], sent)
