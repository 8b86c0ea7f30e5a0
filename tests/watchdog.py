#!/usr/bin/env python3
"""Runs a test binary, and ends it if one of its tests hangs.

    tests/watchdog.py LIMIT_SECS BINARY [ARGUMENT…]

`tests/run-all.sh` sets it as cargo's runner, so it covers each unit, integration and example test.
libtest names a test that has run for 60 seconds. Such a test has until LIMIT_SECS (60 at least) to
end. Then its name and the threads of the binary are printed, the binary is killed with the
processes it has started, and the exit code is 1: cargo goes on with the next binary.
"""

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

WARNED_AFTER_SECS = 60
# With one thread, libtest has already printed `test NAME ... ` on the same line.
WARNING = re.compile(rb"test (?:.* \.\.\. test )?(.+?) has been running for over 60 seconds")
RESULT = re.compile(rb"test (.+?)(?: - should panic)? \.\.\. (?:ok|FAILED)")


def main(limit_secs, command):
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, process_group=0
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: (kill(child), sys.exit(128 + number)))
    hanging = watch(child, limit_secs - WARNED_AFTER_SECS)
    if hanging is None:
        code = child.wait()
        return code if code >= 0 else 128 - code

    names = ", ".join(sorted(hanging))
    print(f"\nHANGS: {names}: not over after {limit_secs} seconds", flush=True)
    print(f"  binary: {' '.join(command)}\n  its threads:\n{threads(child.pid)}", flush=True)
    kill(child)
    return 1


def watch(child, grace_secs):
    """Copies the output until it ends (returns None) or tests hang (returns their names)."""
    output, line, late = child.stdout.fileno(), b"", {}
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            hanging = {name for name, deadline in late.items() if deadline <= now}
            if hanging:
                return hanging
            wait_secs = min(late.values()) - now if late else None
            if not selector.select(wait_secs):
                continue
            chunk = os.read(output, 65536)
            if not chunk:
                return None
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            *lines, line = (line + chunk).split(b"\n")
            for each in lines:
                if warned := WARNING.search(each):
                    late[warned[1].decode()] = time.monotonic() + grace_secs
                elif ended := RESULT.match(each):
                    late.pop(ended[1].decode(), None)


def threads(pid):
    """A line for each thread: its name, which libtest takes from the test, and its state."""
    found = []
    for task in sorted(Path(f"/proc/{pid}/task").glob("*")):
        try:
            status = dict(
                each.split(":\t", 1) for each in (task / "status").read_text().splitlines()
            )
            place = (task / "wchan").read_text()
        except (OSError, ValueError):
            continue
        found.append(f"    {status['Name']}: {status['State']} {place}")
    return "\n".join(found)


def kill(child):
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
