"""Two instances of the order tracking on one database file and one Redis act as one."""

import contextlib
import json
import pathlib
import signal
import tempfile
import threading
import time

from harness import Order, OrderTracking, Redis, http
from walk.client import connect, order_in, quiet, receive, receive_until
from walk.orders import WAY, drive

# A change that nobody announced is found within three seconds, and the backend within two after its restart; `gap` hooks are spread
# over five.
SOON = 10


def together(checks, options):
    """Two instances as one"""
    with (
        tempfile.TemporaryDirectory(prefix="strait-") as folder,
        Redis(options, "walk-together-redis") as redis,
        contextlib.ExitStack() as stack,
    ):
        shared = {
            "simulate": 3,
            "example": "order_tracking-redis",
            "database": pathlib.Path(folder) / "orders.sqlite",
            "backend": f"redis://{redis.authority}",
        }
        one, other = (OrderTracking(options, f"walk-together-{name}", **shared) for name in ("one", "other"))
        start_at_once(stack, one, other)
        for part in (following, board, racing, redis_restarted, killed):
            with checks.part(part.__doc__):
                part(checks, one, other, redis)


def start_at_once(stack, *servers):
    """Both find no database: one of them makes it."""
    failures = []

    def start(server):
        try:
            stack.enter_context(server)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def at(server, order):
    """The same order, seen from another instance."""
    return Order(server, order.id, order.token)


def following(checks, one, other, _redis):
    """One follows what the other does"""
    order = one.place("Ada")
    with connect(at(other, order).socket) as ws, connect(order.socket) as own:
        checks.equal("the other has the snapshot", receive(ws)["order"], order_in(order.read().json))
        receive(own)
        for number, status in enumerate(WAY):
            mover = at((one, other)[number % 2], order)
            mover.move(status)
            checks.equal(f"{status} arrives at the other", receive(ws)["status"], status)
            checks.equal(f"{status} arrives at the first", receive(own)["status"], status)
        checks.equal("nothing arrives twice", quiet(ws), "nothing")
        checks.equal("both read the same", at(other, order).read().json, order.read().json)


def board(checks, one, other, _redis):
    """The board of one shows the orders of both"""
    with connect(one.board_socket, additional_headers=one.staff) as ws:
        receive(ws)
        orders = [server.place() for server in (one, other)]
        for order in orders:
            order.move("paid")
        wanted = {order.id for order in orders}
        paid = set()
        receive_until(ws, lambda event: done(paid, wanted, event))
        checks.equal("both are paid", paid, wanted)
        checks.equal("three simulated orders are under way for both", simulated(one), 3)


def done(paid, wanted, event):
    if event.get("status") == "paid" and event["order_id"] in wanted:
        paid.add(event["order_id"])
    return paid == wanted


def simulated(server):
    return len(http("GET", server.url + "/api/demo").json)


def racing(checks, one, other, _redis):
    """Both write at once"""
    order = one.place()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(at(server, order).socket)) for server in (one, other) for _ in range(5)]
        couriers = [
            threading.Thread(target=drive, args=(at(server, order), courier))
            for courier in range(3)
            for server in (one, other)
        ]
        for courier in couriers:
            courier.start()
        for status in WAY[:-1]:
            order.move(status)
        for courier in couriers:
            courier.join()
        at(other, order).move(WAY[-1])

        last = order_in(order.read().json)
        checks.equal("no event lost its number", last["seq"], 1 + len(WAY) + 60)
        for client in clients:
            seqs = [seq_of(message) for message in receive_until(client, lambda message: seq_of(message) == last["seq"])]
            checks.equal("a client hears each number once, in order", seqs, sorted(set(seqs)))


def seq_of(message):
    return message.get("seq") or message["order"]["seq"]


def redis_restarted(checks, one, other, redis):
    """Redis is killed and comes back"""
    order = one.place()
    with (
        connect(order.socket) as own,
        connect(at(other, order).socket) as ws,
        connect(other.board_socket, additional_headers=other.staff) as watched,
    ):
        sockets = {"the first": own, "the other": ws}
        for socket in (own, ws, watched):
            receive(socket)
        redis.stop(signal.SIGKILL)
        time.sleep(1)
        checks.equal("a change is taken without Redis", order.move("paid").status, 200)
        redis.start()
        for name, socket in sockets.items():
            snapshot = receive_until(socket, lambda message: message["type"] == "order.snapshot", seconds=SOON)[-1]
            checks.equal(f"{name} has a fresh snapshot on the same socket", snapshot["order"]["status"], "paid")
        snapshot = receive_until(watched, lambda message: message["type"] == "board.snapshot", seconds=SOON)[-1]
        [shown] = [each for each in snapshot["orders"] if each["order_id"] == order.id]
        checks.equal("the board has one, too", shown["status"], "paid")
        order.move("preparing")
        for name, socket in sockets.items():
            event = receive_until(socket, lambda message: seq_of(message) == 3)[-1]
            checks.equal(f"{name} hears events again", event["type"], "order.updated")


def killed(checks, one, other, _redis):
    """One is killed"""
    order = one.place()
    with (
        connect(at(other, order).socket) as ws,
        connect(other.board_socket, additional_headers=other.staff) as watched,
    ):
        receive(ws)
        order.move("paid")
        one.stop(signal.SIGKILL)
        event = receive_until(ws, lambda message: seq_of(message) == 2, seconds=SOON)[-1]
        checks.equal("the other hears of its last change", event["status"], "paid")
        at(other, order).move("preparing")
        checks.equal("and of its own", receive(ws)["status"], "preparing")
        known = {event["order_id"] for event in heard(watched, seconds=12) if event["order_id"] != order.id}
        checks.true("the simulated orders go on", len(known) >= 3, known)


def heard(ws, seconds):
    """The events of the next seconds."""
    end = time.monotonic() + seconds
    events = []
    with contextlib.suppress(TimeoutError):
        while True:
            message = json.loads(ws.recv(timeout=max(0, end - time.monotonic())))
            if "order_id" in message:
                events.append(message)
    return events
