"""What the example is for: orders are placed, moved and followed."""

import contextlib
import itertools
import threading
import urllib.parse

from harness import Order, http
from walk.client import connect, handshake_status, order_in, quiet, receive, receive_until, says_why

WAY = ["paid", "preparing", "shipped", "out_for_delivery", "delivered"]
UPDATE_FIELDS = {"type", "order_id", "seq", "status", "note", "at"}
LOCATION_FIELDS = {"type", "order_id", "seq", "lat", "lng", "at"}


def pages(checks, server):
    """Pages"""
    checks.equal("/healthz", http("GET", server.url + "/healthz").status, 200)
    for name, url in (("home", server.url + "/"), ("tracking page", server.place().page), ("board", server.board)):
        answer = http("GET", url)
        checks.equal(f"{name} answers", answer.status, 200)
        checks.true(f"{name} is HTML", answer.headers.get("Content-Type", "").startswith("text/html"), answer.headers)
    checks.equal("an unknown path", http("GET", server.url + "/no/such/page").status, 404)


def placing(checks, server):
    """Placing an order"""
    wish = {"customer": "Zoë 🐦", "items": [{"name": "Tea", "quantity": 2}, {"name": "Ginger bread", "quantity": 1}]}
    answer = http("POST", server.url + "/api/orders", wish)
    checks.equal("POST answers 201", answer.status, 201)
    checks.equal("it names order, token and page", set(answer.json), {"order_id", "token", "tracking_url"})
    checks.true("the token can't be guessed", len(answer.json["token"]) >= 16, answer.json["token"])
    page = urllib.parse.urljoin(server.url, answer.json["tracking_url"])
    checks.equal("the page it names", page, Order(server, answer.json["order_id"], answer.json["token"]).page)

    order = server.place(wish["customer"], wish["items"])
    found = order.read()
    checks.equal("GET answers 200", found.status, 200)
    body = order_in(found.json)
    checks.equal("its status", body.get("status"), "placed")
    checks.equal("its customer", body.get("customer"), wish["customer"])
    checks.equal(
        "its items", [{name: item[name] for name in ("name", "quantity")} for item in body["items"]], wish["items"]
    )
    checks.true("orders have tokens of their own", order.token != answer.json["token"])


def following(checks, server):
    """Following one order"""
    order = server.place()
    with connect(order.socket) as ws:
        snapshot = receive(ws)
        checks.equal("the snapshot comes first", snapshot["type"], "order.snapshot")
        checks.equal("it is what GET answers", snapshot["order"], order_in(order.read().json))

        updates = []
        for status in WAY:
            answer = order.move(status, f"now {status}")
            checks.one_of(f"{status} is taken", answer.status, (200, 201, 204))
            updates.append(receive(ws))
            if status == "out_for_delivery":
                for step in range(3):
                    order.locate(52.5 + step / 100, 13.4)
                places = [receive(ws) for _ in range(3)]

        checks.equal("the types", {update["type"] for update in updates}, {"order.updated"})
        checks.equal("the fields", [set(update) for update in updates], [UPDATE_FIELDS] * len(WAY))
        checks.equal("the order", {update["order_id"] for update in updates}, {order.id})
        checks.equal("statuses arrive in order", [update["status"] for update in updates], WAY)
        checks.equal("each with its note", [update["note"] for update in updates], [f"now {status}" for status in WAY])
        checks.equal(
            "times do not go back", [update["at"] for update in updates], sorted(update["at"] for update in updates)
        )

        checks.equal("locations: the types", {place["type"] for place in places}, {"order.location"})
        checks.equal("locations: the fields", [set(place) for place in places], [LOCATION_FIELDS] * 3)
        checks.equal(
            "locations arrive in order",
            [(place["lat"], place["lng"]) for place in places],
            [(52.5, 13.4), (52.51, 13.4), (52.52, 13.4)],
        )
        checks.equal("nothing else arrives", quiet(ws), "nothing")


def talking(checks, server):
    """What a client may say"""
    order = server.place()
    with connect(order.socket) as ws:
        receive(ws)
        for what, message in (
            ("bad JSON", "{"),
            ("an empty message", ""),
            ("a number", "7"),
            ("a list", "[]"),
            ("no type", "{}"),
            ("an unknown type", '{"type":"cancel"}'),
            ("a type that is no text", '{"type":7}'),
            ("binary", b"\x00\xff"),
        ):
            ws.send(message)
            answer = receive(ws)
            checks.equal(f"{what} is answered by an error", answer.get("type"), "error")
            checks.true(f"{what}: the error has a sentence", says_why(answer.get("message")), answer)

        order.move("paid", "thank you")
        checks.equal("the connection lives", receive(ws)["type"], "order.updated")
        ws.send('{"type":"status"}')
        answer = receive(ws)
        checks.equal("status is answered by a snapshot", answer["type"], "order.snapshot")
        checks.equal("the snapshot is up to date", answer["order"]["status"], "paid")
        checks.true("a ping is answered", ws.ping().wait(2))
        ws.close()
        checks.equal("a close is answered", ws.close_code, 1000)


def board(checks, server):
    """The board"""
    orders = [server.place(), server.place()]
    address = server.board_socket
    checks.one_of("no token is refused", handshake_status(address), (401, 403))
    checks.one_of("a wrong ?staff= is refused", handshake_status(address + "?staff=wrong"), (401, 403))
    checks.one_of(
        "a wrong Bearer is refused",
        handshake_status(address, additional_headers={"Authorization": "Bearer wrong"}),
        (401, 403),
    )
    checks.one_of("an order's token is refused", handshake_status(address + f"?staff={orders[0].token}"), (401, 403))

    with (
        connect(address, additional_headers=server.staff) as bearer,
        connect(f"{address}?staff={server.staff_token}") as query,
    ):
        for status, order in itertools.product(("paid", "preparing", "shipped"), orders):
            order.move(status)
        orders[1].locate(1.5, -2.5)
        expected = [
            ("order.updated", order.id, status) for status in ("paid", "preparing", "shipped") for order in orders
        ]
        expected.append(("order.location", orders[1].id, None))
        for name, ws in (("Bearer", bearer), ("?staff=", query)):
            events = receive_until(ws, lambda event: event["type"] == "order.location")
            seen = [(event["type"], event["order_id"], event.get("status")) for event in events if "order_id" in event]
            checks.equal(f"with {name}, the events of both orders in order", seen, expected)

        late = server.place()
        late.move("paid")
        events = receive_until(bearer, lambda event: event.get("status") == "paid")
        checks.equal("an order placed later is there too", events[-1]["order_id"], late.id)


def twenty_clients(checks, server):
    """Twenty clients on one order"""
    order = server.place()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(order.socket)) for _ in range(20)]
        couriers = [threading.Thread(target=drive, args=(order, courier)) for courier in range(4)]
        for courier in couriers:
            courier.start()
        for status in WAY[:-1]:
            order.move(status)
        for courier in couriers:
            courier.join()
        order.move(WAY[-1])

        sequences = [receive_until(ws, lambda event: event.get("status") == "delivered") for ws in clients]
        first = sequences[0]
        checks.equal("snapshot, five updates and forty locations", len(first), 1 + 5 + 40)
        checks.equal(
            "the statuses in order", [event["status"] for event in first if event["type"] == "order.updated"], WAY
        )
        checks.equal(
            "all get the same sequence", [number for number, seen in enumerate(sequences) if seen != first], []
        )


def drive(order, courier):
    for step in range(10):
        order.locate(courier, step)
