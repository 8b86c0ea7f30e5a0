"""What the example refuses, at the handshake, over HTTP and on an open socket, and how it says so."""

from harness import http
from walk.client import close_code, connect, frame, handshake_status, order_in, raw_status, receive, says_why

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def who_may_follow(checks, server):
    """Who may follow an order"""
    order, other = server.place(), server.place()
    unknown = order.id + 1_000_000
    path = "/ws/order-tracking"
    for what, url, status in (
        ("the right token", f"{path}/{order.id}/?token={order.token}", 101),
        ("a wrong token", f"{path}/{order.id}/?token=wrong", 403),
        ("another order's token", f"{path}/{order.id}/?token={other.token}", 403),
        ("an empty token", f"{path}/{order.id}/?token=", 403),
        ("no token", f"{path}/{order.id}/", 403),
        ("an unknown order", f"{path}/{unknown}/?token={order.token}", 404),
        ("an order beyond i64", f"{path}/{2**63}/?token={order.token}", 404),
        ("an order beyond u64", f"{path}/{2**64}/?token={order.token}", 404),
        ("an order that is no number", f"{path}/seven/?token={order.token}", 404),
        ("no slash at the end", f"{path}/{order.id}?token={order.token}", 404),
        ("an unknown path", "/ws/nowhere/", 404),
        ("bad UTF-8 in the path", "/ws/%ff/", 400),
    ):
        checks.equal(f"WebSocket, {what}", handshake_status(server.ws + url), status)

    api = f"{server.url}/api/orders"
    for what, url, statuses in (
        ("a wrong token", f"{api}/{order.id}?token=wrong", (401, 403)),
        ("no token", f"{api}/{order.id}", (401, 403)),
        ("an unknown order", f"{api}/{unknown}?token={order.token}", (404,)),
        ("an order beyond u64", f"{api}/{2**64}?token={order.token}", (400, 404)),
        ("an order that is no number", f"{api}/seven?token={order.token}", (400, 404)),
    ):
        answer = http("GET", url)
        checks.one_of(f"HTTP, {what}", answer.status, statuses)
        checks.true(f"HTTP, {what}: a sentence", says_why(answer.text), answer)


def handshakes(checks, server):
    """Handshakes"""
    order = server.place()
    for what, origin, status in (
        ("the same host", server.url, 101),
        ("a foreign one", "https://evil.example", 403),
        ("another port", "http://127.0.0.1:1", 403),
        ("another scheme's default port", "http://127.0.0.1", 403),
        ("the host as a prefix", server.url + ".evil.example", 403),
        ("null", "null", 403),
    ):
        checks.equal(f"Origin: {what}", handshake_status(order.socket, origin=origin), status)

    path = order.socket.removeprefix(server.ws)
    for what, method, changes, status in (
        ("as it should be", "GET", {}, 101),
        ("a plain GET", "GET", dict.fromkeys(UPGRADE), 426),
        ("version 8", "GET", {"Sec-WebSocket-Version": "8"}, 426),
        ("no key", "GET", {"Sec-WebSocket-Key": None}, 400),
        ("a short key", "GET", {"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
        ("POST", "POST", {}, 405),
    ):
        headers = {name: value for name, value in (UPGRADE | changes).items() if value is not None}
        checks.equal(f"Request: {what}", raw_status(server.port, method, path, headers), status)


def staff_interface(checks, server):
    """The staff's interface"""
    order = server.place()
    wrong = {"Authorization": "Bearer wrong"}
    for verb, body in (("status", {"status": "paid"}), ("location", {"lat": 1, "lng": 2})):
        url = f"{order.api}/{verb}"
        for what, headers, statuses in (
            ("no token", None, (401,)),
            ("a wrong token", wrong, (401, 403)),
            ("the order's token", {"Authorization": f"Bearer {order.token}"}, (401, 403)),
        ):
            answer = http("POST", url, body, headers)
            checks.one_of(f"{verb}, {what}", answer.status, statuses)
            checks.true(f"{verb}, {what}: a sentence", says_why(answer.text), answer)
        answer = http("POST", f"{server.url}/api/orders/{order.id + 1_000_000}/{verb}", body, server.staff)
        checks.equal(f"{verb}, an unknown order", answer.status, 404)
        checks.equal(f"{verb}, GET", http("GET", url, headers=server.staff).status, 405)
    checks.equal("none of these changed the order", order_in(order.read().json)["status"], "placed")

    refused = [(order, "shipped"), (order, "placed"), (order, "delivered")]
    cancelled, shipped = server.place(), server.place()
    cancelled.move("cancelled")
    for status in ("paid", "preparing", "shipped"):
        shipped.move(status)
    refused += [
        (cancelled, "paid"),
        (cancelled, "cancelled"),
        (shipped, "cancelled"),
        (shipped, "shipped"),
        (shipped, "paid"),
    ]
    for where, status in refused:
        before = order_in(where.read().json)
        answer = where.move(status)
        what = f"{before['status']} → {status}"
        checks.equal(what, answer.status, 409)
        checks.true(f"{what}: a sentence", says_why(answer.text), answer)
        checks.equal(f"{what} changed nothing", order_in(where.read().json), before)


def bad_bodies(checks, server):
    """Bad bodies"""
    order = server.place()
    placed, status, location = server.url + "/api/orders", order.api + "/status", order.api + "/location"
    item = {"name": "Tea", "quantity": 1}
    for what, url, body in (
        ("an order that is no JSON", placed, b"{"),
        ("an order without a body", placed, b""),
        ("an order in Latin-1", placed, '{"customer":"Zoë"}'.encode("latin-1")),
        ("an order without a customer", placed, {"items": [item]}),
        ("an order of nobody", placed, {"customer": "", "items": [item]}),
        ("an order without items", placed, {"customer": "Ada", "items": []}),
        ("an item without a name", placed, {"customer": "Ada", "items": [{"quantity": 1}]}),
        ("a quantity of nothing", placed, {"customer": "Ada", "items": [{"name": "Tea", "quantity": 0}]}),
        ("a negative quantity", placed, {"customer": "Ada", "items": [{"name": "Tea", "quantity": -1}]}),
        ("a quantity beyond every number", placed, {"customer": "Ada", "items": [{"name": "Tea", "quantity": 2**70}]}),
        ("a customer of 3 MiB", placed, {"customer": "a" * 3 * 2**20, "items": [item]}),
        ("a status that is no JSON", status, b"paid"),
        ("no status", status, {}),
        ("an unknown status", status, {"status": "teleported"}),
        ("a status that is no text", status, {"status": 7}),
        ("a location without lng", location, {"lat": 1}),
        ("a location in words", location, {"lat": "north", "lng": "east"}),
        ("a location beyond the pole", location, {"lat": 91, "lng": 0}),
        ("a location beyond every number", location, b'{"lat":1e999,"lng":0}'),
    ):
        answer = http("POST", url, body, server.staff)
        checks.true(f"{what} is the client's fault", 400 <= answer.status < 500, answer)
        checks.true(f"{what}: a sentence", says_why(answer.text), answer)
    checks.equal("none of these changed the order", order_in(order.read().json)["status"], "placed")


def bad_frames(checks, server):
    """Bad frames"""
    order = server.place()
    for what, data, code in (
        ("an unmasked frame", frame(0x81, b"hi", masked=False), 1002),
        ("a reserved bit", frame(0xC1, b"hi"), 1002),
        ("a reserved opcode", frame(0x83, b"hi"), 1002),
        ("a continuation of nothing", frame(0x80, b"hi"), 1002),
        ("a message inside a message", frame(0x01, b"a") + frame(0x81, b"b"), 1002),
        ("a fragmented ping", frame(0x09, b"hi"), 1002),
        ("a length that is not minimal", b"\x81\xfe\x00\x02\0\0\0\0hi", 1002),
        ("a close code of 1005", frame(0x88, b"\x03\xed"), 1002),
        ("bad UTF-8", frame(0x81, b"\xff"), 1007),
        ("bad UTF-8 in a message that is not complete", frame(0x01, b"\xff"), 1007),
        ("a frame of 16 MiB, its header alone", b"\x82\xff" + (2**24).to_bytes(8, "big") + b"\0\0\0\0", 1009),
        ("a message of 64 KiB and a byte", frame(0x81, b"a" * (2**16 + 1)), 1009),
        ("the same in fragments", frame(0x01, b"a" * 2**16) + frame(0x80, b"a"), 1009),
    ):
        with connect(order.socket) as ws:
            receive(ws)
            ws.socket.sendall(data)
            checks.equal(what, close_code(ws), code)

    with connect(order.socket) as ws:
        receive(ws)
        ws.send("a" * 2**16)
        checks.equal("a message of 64 KiB is read", receive(ws)["type"], "error")
    with connect(order.socket) as ws:
        receive(ws)
        message = b'{"type":"status"}'
        ws.socket.sendall(frame(0x01, message[:5]) + frame(0x89, b"between") + frame(0x80, message[5:]))
        checks.equal("a message in fragments with a ping between is read", receive(ws)["type"], "order.snapshot")
