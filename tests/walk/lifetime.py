"""How the example starts, stops and starts again, and what outlives it."""

import contextlib
import json
import re
import signal
import socket
import subprocess

from harness import OrderTracking, Server, environment, http
from walk.client import close_code, connect, handshake_status, order_in, receive, receive_until


def stop_and_restart(checks, server):
    """Stopped and started again"""
    order, quiet_order = server.place(), server.place()
    order.move("paid", "before the restart")
    order.locate(48.1, 11.6)
    before = order_in(order.read().json)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(order.socket)) for _ in range(20)]
        sockets.append(stack.enter_context(connect(quiet_order.socket)))
        sockets.append(stack.enter_context(connect(server.board_socket, additional_headers=server.staff)))
        server.process.send_signal(signal.SIGTERM)
        checks.soon("SIGTERM ends it", lambda: server.process.poll() is not None, within=8)
        checks.equal("its exit code", server.process.returncode, 0)
        checks.equal("every socket was closed with 1012", [close_code(ws) for ws in sockets], [1012] * len(sockets))

    server.start()
    checks.equal("after the restart the order is the same", order_in(order.read().json), before)
    checks.true("with its note", "before the restart" in json.dumps(before), before)
    checks.equal(
        "a wrong token is still refused",
        handshake_status(f"{server.ws}/ws/order-tracking/{order.id}/?token=wrong"),
        403,
    )
    with connect(order.socket) as ws:
        checks.equal("the old token opens the socket, the snapshot is the same", receive(ws)["order"], before)
        order.move("preparing", "after the restart")
        checks.equal("events arrive again", receive(ws)["note"], "after the restart")
    checks.true("a new order gets a new number", server.place().id > quiet_order.id)

    with connect(order.socket) as ws:
        receive(ws)
        server.process.send_signal(signal.SIGINT)
        checks.equal("Ctrl-C closes with 1012 too", close_code(ws), 1012)
        checks.equal("and ends with exit code 0", server.process.wait(15), 0)
    server.start()


def killed_after_an_answer(checks, server):
    """Killed right after an answer"""
    order = server.place()
    with connect(order.socket) as ws:
        receive(ws)
        order.move("paid", "announced")
        receive(ws)
        server.stop(signal.SIGKILL)
    server.start()
    checks.equal("what was announced was committed", order_in(order.read().json)["status"], "paid")


def bad_starts(checks, options):
    """Starts that cannot succeed"""
    with OrderTracking(options, "walk-bad-starts") as server:
        garbage = server.database.with_name("garbage")
        garbage.write_bytes(b"this is no database, " * 500)
        anywhere = ["--listen", "127.0.0.1:0"]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            busy = f"127.0.0.1:{listener.getsockname()[1]}"
            for what, flags, offender in (
                ("a busy port", ["--listen", busy], busy),
                ("a folder as database", [*anywhere, "--database", server.folder.name], server.folder.name),
                ("garbage as database", [*anywhere, "--database", str(garbage)], str(garbage)),
                ("a database in no folder", [*anywhere, "--database", "/no/such/folder/db"], "/no/such/folder/db"),
                ("an address that is none", ["--listen", "nowhere"], "nowhere"),
            ):
                ended = subprocess.run(
                    [server.binary, *flags],
                    cwd=server.folder.name,
                    env=environment(),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=15,
                )
                checks.equal(f"{what}: exit code", ended.returncode, 1)
                checks.equal(f"{what}: one line on stderr", len(ended.stderr.splitlines()), 1)
                checks.true(f"{what}: the line names it", offender in ended.stderr, ended.stderr)
        for example in ("order_tracking", "hub"):
            binary = server.binary.with_name(example)
            ended = subprocess.run(
                [binary, *anywhere, "--backend", "carrier-pigeon://loft"],
                cwd=server.folder.name,
                env=environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=15,
            )
            checks.equal(f"{example}, a backend that is none: exit code", ended.returncode, 2)
            checks.equal(f"{example}, a backend that is none: one line on stderr", len(ended.stderr.splitlines()), 1)
            checks.true(f"{example}, a backend that is none: the line names it", "carrier-pigeon" in ended.stderr, ended.stderr)
        # A mistake in the call is told with the usage, and has an exit code of its own, as is the custom.
        ended = subprocess.run(
            [server.binary, "--frobnicate"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=15,
        )
        checks.equal("an unknown flag: exit code", ended.returncode, 2)
        checks.true("an unknown flag: the first line names it", "--frobnicate" in ended.stderr.splitlines()[0], ended.stderr)
        checks.equal("the garbage was left as it was", garbage.read_bytes(), b"this is no database, " * 500)
        checks.equal("a server that runs is not disturbed", http("GET", server.url + "/healthz").status, 200)


def embedded_defaults(checks, options):
    """With no flags but the address"""
    with Server(options, "order_tracking", "walk-defaults") as server:
        checks.soon("it prints its address", lambda: server.url in server.output(), within=1)
        links = re.findall(r"/board\?(staff=\S+)", server.output())
        if checks.true("it prints the board's address", links, server.output()):
            with connect(f"{server.ws}/ws/board/?{links[0]}") as ws:
                event = receive_until(ws, lambda event: "order_id" in event, seconds=30)[-1]
                checks.one_of("the simulated orders move", event["type"], ("order.updated", "order.location"))
        checks.equal("it ends with exit code 0", server.stop(), 0)
