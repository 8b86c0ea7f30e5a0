"""Django Channels, on Daphne and on uvicorn, and strait's `hub` with the same Redis and the same publisher, in turn.

    tests/run-all.sh servers        # installs Redis and the Python packages, once
    cargo build --release --features redis --example hub
    target/tests/venv/bin/python benches/beside_channels [--rounds N] [--sockets N] [--burst N] [--only TEXT]

Each server holds 1,000 sockets of one group. A Django process of its own publishes with an unmodified channels_redis: one
event at a time, then a burst. The server and Redis share core 0, the clients and the publisher core 1; the CPU time is the
server's and Redis's. Prints a table of medians.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clients import Clients

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GROUP = "room"
SERVER_CORE, LOAD_CORE = "0", "1"


def servers(hub):
    """Name, layer, command; {port}, {redis} and {backend} are filled in."""
    channels = [sys.executable, "-m"]
    for layer in ("core", "pubsub"):
        daphne = channels + ["daphne", "-b", "127.0.0.1", "-p", "{port}", "app:application"]
        uvicorn = channels + ["uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "error", "app:application"]
        backend = f"channels-redis-{layer}://127.0.0.1:{{redis}}/0"
        yield "Daphne", layer, daphne
        yield "uvicorn", layer, uvicorn
        yield "strait", layer, [str(hub), "--listen", "127.0.0.1:{port}", "--threads", "1", "--backend", backend]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A child on a core of its own, ended with this object."""

    def __init__(self, core, command, **options):
        self.child = subprocess.Popen(["taskset", "-c", core, *command], **options)

    def cpu(self):
        """Seconds on a processor, of all threads."""
        total = 0
        for task in Path(f"/proc/{self.child.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                pass
        return total / 1e9

    def resident(self):
        for line in Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def end(self):
        self.child.kill()
        self.child.wait()


class Publisher:
    """Django's side: see publisher.py. Each call returns when the process has published."""

    def __init__(self, layer, redis):
        command = [sys.executable, str(HERE / "publisher.py"), layer, str(redis), GROUP]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = Process(LOAD_CORE, command, **pipes)

    async def publish(self, count):
        """When it began, and how long it took."""
        pipe = self.process.child
        pipe.stdin.write(f"{count}\n")
        pipe.stdin.flush()
        answer = await asyncio.to_thread(pipe.stdout.readline)
        return json.loads(answer)


async def wait_for_port(port, process):
    for _ in range(600):
        if process.child.poll() is not None:
            raise SystemExit(f"a server ended at once: {process.child.args}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            await asyncio.sleep(0.05)
    raise SystemExit(f"nobody listens on port {port}")


async def measure(layer, command, options, folder):
    redis_port, port = free_port(), free_port()
    redis = Process(
        SERVER_CORE,
        ["redis-server", "--port", str(redis_port), "--save", "", "--dir", folder, "--loglevel", "warning"],
        stdout=subprocess.DEVNULL,
    )
    started = [redis]
    try:
        await wait_for_port(redis_port, redis)
        command = [part.format(port=port, redis=redis_port) for part in command]
        environment = dict(os.environ, LAYER=layer, REDIS=str(redis_port), PYTHONPATH=str(HERE))
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server = Process(SERVER_CORE, command, env=environment, **quiet)
        started.append(server)
        await wait_for_port(port, server)
        publisher = Publisher(layer, redis_port)
        started.append(publisher.process)
        return await drive(server, redis, publisher, port, options)
    finally:
        for process in reversed(started):
            process.end()


async def drive(server, redis, publisher, port, options):
    cpu = lambda: server.cpu() + redis.cpu()
    # The first ones bring what belongs to none.
    warm = await Clients.connect(port, f"/relay/{GROUP}/", 50)
    before = server.resident()
    clients = await Clients.connect(port, f"/relay/{GROUP}/", options.sockets)
    memory = (server.resident() - before) / options.sockets
    warm.close()
    await asyncio.sleep(1)
    await publisher.publish(1)
    await clients.settle()

    latencies = []
    spent, delivered = cpu(), clients.frames
    for _ in range(options.singles):
        clients.expect(1)
        begun = await publisher.publish(1)
        last = await clients.last()
        latencies.append(last - begun["at"])
    single_cpu = (cpu() - spent) / (clients.frames - delivered)

    spent, delivered = cpu(), clients.frames
    begun = await publisher.publish(options.burst)
    last = await clients.settle()
    received = clients.frames - delivered
    return {
        "first to last, ms": 1000 * statistics.median(latencies),
        "CPU per delivery alone, µs": 1e6 * single_cpu,
        "burst delivered, %": 100 * received / (options.burst * options.sockets),
        "CPU per delivery in it, µs": 1e6 * (cpu() - spent) / max(1, received),
        "its deliveries per second": received / max(0.001, last - begun["at"]),
        "published per second": options.burst / begun["took"],
        "resident per socket, KiB": memory / 1024,
    }


async def main():
    parser = argparse.ArgumentParser(prog="benches/beside_channels")
    parser.add_argument("--hub", type=Path, default=ROOT / "target/release/examples/hub")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--singles", type=int, default=15, help="how many events one at a time")
    parser.add_argument("--burst", type=int, default=300)
    parser.add_argument("--only", default="", help="part of a name such as 'strait, core'")
    options = parser.parse_args()
    for program in ("redis-server", "taskset", options.hub):
        if not shutil.which(program):
            raise SystemExit(f"{program} is missing")

    results = {}
    for turn in range(options.rounds):
        for name, layer, command in servers(options.hub):
            key = f"{name}, {layer}"
            if options.only not in key:
                continue
            print(f"round {turn + 1} of {options.rounds}: {key}", file=sys.stderr)
            with tempfile.TemporaryDirectory() as folder:
                results.setdefault(key, []).append(await measure(layer, command, options, folder))
    report(results)


def report(results):
    columns = list(next(iter(results.values()))[0])
    print("| server, layer | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for key, rounds in results.items():
        cells = []
        for column in columns:
            values = sorted(row[column] for row in rounds)
            cells.append(f"{statistics.median(values):,.1f} ({values[0]:,.1f}–{values[-1]:,.1f})")
        print(f"| {key} | " + " | ".join(cells) + " |")
    load = Path("/proc/loadavg").read_text().split()[0]
    print(f"\n{len(next(iter(results.values())))} rounds, medians and spread; {time.strftime('%F')}; load average {load}")


asyncio.run(main())
