"""What the walk and the browser test share: named checks, example servers as child processes, plain HTTP."""

import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def arguments(description):
    """The command line of both tests; the defaults suit a run by hand."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--examples", type=pathlib.Path, default=REPOSITORY / "target/release/examples")
    parser.add_argument("--out", type=pathlib.Path, default=REPOSITORY / "target/tests")
    # A terminated run still ends its servers: SystemExit unwinds every `with`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return parser.parse_args()


class Checks:
    """Counts named checks; one that fails tells what was expected and what came instead."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = 0

    def equal(self, what, actual, expected):
        return self.record(what, actual == expected, f"expected {expected!r}\n       actual   {actual!r}")

    def one_of(self, what, actual, expected):
        return self.record(what, actual in expected, f"expected one of {expected!r}\n       actual   {actual!r}")

    def true(self, what, condition, otherwise=""):
        return self.record(what, bool(condition), otherwise)

    def soon(self, what, condition, within):
        """The condition becomes true within so many seconds; one that never does ends the part."""
        took = wait_until(what, condition, seconds=within + 5)
        return self.record(f"{what} within {within} s", took <= within, f"it took {took:.2f} s")

    def record(self, what, ok, otherwise):
        if ok:
            self.passed += 1
            print(f"  ok   {what}", flush=True)
        else:
            self.failed += 1
            print(f"  FAIL {what}\n       {otherwise}", flush=True)
        return ok

    @contextlib.contextmanager
    def part(self, title):
        """A group of checks: an exception in it is one failed check, and the next group goes on."""
        print(f"{title}", flush=True)
        try:
            yield
        except Exception:
            self.record(title, False, traceback.format_exc().replace("\n", "\n       "))

    def finish(self, logs):
        """Prints the closing line, after a failure the servers' last words too, and returns the exit code."""
        for log in sorted(logs.glob(f"{self.name}*.log")) if self.failed else ():
            print(f"--- the end of {log}")
            print("\n".join(log.read_text(errors="replace").splitlines()[-20:]))
        print(f"{self.name}: {self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


class Server:
    """An example running as a child process, on a port of its own, in a private folder, with its output in a log."""

    ready = "/"

    def __init__(self, options, example, log, *flags):
        self.binary = (options.examples / example).resolve()
        self.flags = flags
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="strait-")
        self.process = None
        self.log = options.out / "logs" / f"{log}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text("")

    @property
    def authority(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.authority}"

    @property
    def ws(self):
        return f"ws://{self.authority}"

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)
        self.folder.cleanup()

    def start(self):
        """Starts, or starts again, and waits until it answers."""
        with self.log.open("a") as output:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder.name,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(f"{self.binary.name} answers", self.answers, seconds=20)

    def command(self):
        return [self.binary, "--listen", self.authority, *self.flags]

    def environment(self):
        return environment()

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.binary.name} ended with exit code {self.process.returncode}, see {self.log}")
        with contextlib.suppress(OSError):
            return http("GET", self.url + self.ready).status < 500
        return False

    def stop(self, how=signal.SIGTERM, seconds=15):
        """Signals the process and returns its exit code; one that does not end in time is killed."""
        if self.process is None:
            return None
        self.process.send_signal(how)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "killed: it did not end in time"

    def output(self):
        return self.log.read_text(errors="replace")


class OrderTracking(Server):
    """The order-tracking example on a database of its own, and its HTTP interface."""

    ready = "/healthz"
    staff_token = "staff-of-the-tests"
    staff = {"Authorization": f"Bearer {staff_token}"}

    def __init__(self, options, log, simulate=0, example="order_tracking", database=None, backend=None):
        super().__init__(options, example, log)
        self.database = pathlib.Path(database or pathlib.Path(self.folder.name) / "orders.sqlite")
        self.flags = ("--database", str(self.database), "--simulate", str(simulate), "--staff-token", self.staff_token)
        if backend:
            self.flags += ("--backend", backend)

    @property
    def board(self):
        return f"{self.url}/board?staff={self.staff_token}"

    @property
    def board_socket(self):
        return f"{self.ws}/ws/board/"

    def place(self, customer="Ada", items=({"name": "Tea", "quantity": 2},)):
        # With the staff's token, since orders of one address are limited.
        wish = {"customer": customer, "items": list(items)}
        answer = http("POST", self.url + "/api/orders", wish, self.staff)
        if answer.status != 201:
            raise RuntimeError(f"an order could not be placed: {answer}")
        return Order(self, answer.json["order_id"], answer.json["token"])


class Redis(Server):
    """A Redis of its own, that keeps nothing."""

    def __init__(self, options, log):
        super().__init__(options, "redis-server", log)
        self.binary = pathlib.Path(shutil.which("redis-server") or "/usr/bin/redis-server")

    @property
    def address(self):
        return f"{self.authority}/0"

    def command(self):
        return [self.binary, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"redis-server ended with exit code {self.process.returncode}, see {self.log}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as stream:
            stream.sendall(b"PING\r\n")
            return stream.recv(100).startswith(b"+PONG")
        return False


class BesideDjango(Server):
    """The sockets of the Django project."""

    def __init__(self, options, log, site, redis):
        super().__init__(options, "beside_django", log)
        self.flags = ("--backend", f"channels-redis-core://{redis.address}", "--origin", site.url)


class DjangoSite(Server):
    """The Django project of the example, on a database of its own, run as its README says."""

    project = REPOSITORY / "examples/beside_django"

    def __init__(self, options, log, redis, sockets_origin):
        super().__init__(options, "manage.py", log)
        self.redis = redis
        self.sockets_origin = sockets_origin

    def __enter__(self):
        self.manage("migrate", "--verbosity", "0")
        return super().__enter__()

    def command(self):
        return [sys.executable, self.project / "manage.py", "runserver", "--noreload", self.authority]

    def environment(self):
        return environment() | {
            "REDIS_URL": f"redis://{self.redis.address}",
            "DATABASE_FILE": str(pathlib.Path(self.folder.name) / "db.sqlite3"),
            "SOCKETS_ORIGIN": self.sockets_origin,
        }

    def manage(self, *words):
        """Runs one of Django's commands and returns what it printed."""
        return subprocess.run(
            [sys.executable, self.project / "manage.py", *words],
            cwd=self.folder.name,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout


class Order:
    """A placed order: where to follow it, and what staff does with it. Its addresses follow a server that moves."""

    def __init__(self, server, order_id, token):
        self.server = server
        self.id = order_id
        self.token = token

    @property
    def page(self):
        return f"{self.server.url}/orders/{self.id}?token={self.token}"

    @property
    def api(self):
        return f"{self.server.url}/api/orders/{self.id}"

    @property
    def socket(self):
        return f"{self.server.ws}/ws/order-tracking/{self.id}/?token={self.token}"

    def read(self):
        return http("GET", f"{self.api}?token={self.token}")

    def move(self, status, note=""):
        return http("POST", self.api + "/status", {"status": status, "note": note}, self.server.staff)

    def locate(self, lat, lng):
        return http("POST", self.api + "/location", {"lat": lat, "lng": lng}, self.server.staff)


def environment():
    """The caller's environment without what would change how much a server prints."""
    return {name: value for name, value in os.environ.items() if name not in ("RUST_LOG", "RUST_BACKTRACE")}


def free_port():
    """A port below those that outgoing connections draw from, so that it is still free when a server comes back."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", random.randrange(10_000, 32_000)))
            return listener.getsockname()[1]


def wait_until(what, condition, seconds):
    """Polls the condition until it is true and returns how long that took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.03)
    return time.monotonic() - started


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.text = body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.text)

    def __repr__(self):
        return f"{self.status} {self.text[:200]!r}"


# Never through a proxy that the environment may name: everything here is on this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http(method, url, body=None, headers=None):
    """One request; `body` is sent as JSON unless it is already bytes. Every status is an answer, not an exception."""
    headers = dict(headers or {})
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with OPENER.open(request, timeout=10) as answer:
            return Response(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as answer:
        return Response(answer.code, answer.headers, answer.read())
