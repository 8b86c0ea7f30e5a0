"""Walks the examples from outside, as a client in another language sees them.

By hand, after `tests/run-all.sh examples`:

    cd tests && ../target/tests/venv/bin/python -m walk
"""

import sys

from harness import Checks, OrderTracking, arguments
from walk import deflate, hub, interop, lifetime, orders, refusals, together

ON_ONE_SERVER = (
    orders.pages,
    orders.placing,
    orders.following,
    orders.talking,
    orders.board,
    orders.twenty_clients,
    refusals.who_may_follow,
    refusals.handshakes,
    refusals.staff_interface,
    refusals.bad_bodies,
    refusals.bad_frames,
    lifetime.stop_and_restart,
    lifetime.killed_after_an_answer,
)
ON_THEIR_OWN = (
    lifetime.bad_starts,
    lifetime.embedded_defaults,
    hub.hub,
    deflate.deflate,
    interop.interop,
    together.together,
)


def main():
    options = arguments("Walks the examples from outside.")
    checks = Checks("walk")
    with checks.part("Order tracking"), OrderTracking(options, "walk") as server:
        for part in ON_ONE_SERVER:
            with checks.part(part.__doc__):
                part(checks, server)
    for part in ON_THEIR_OWN:
        with checks.part(part.__doc__):
            part(checks, options)
    return checks.finish(options.out / "logs")


if __name__ == "__main__":
    sys.exit(main())
