"""Django's side: publishes as many events as each line of the input says, and answers when it began and what it took."""

import asyncio
import json
import sys
import time

from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

LAYERS = {"core": RedisChannelLayer, "pubsub": RedisPubSubChannelLayer}


async def main(layer, port, group):
    layer = LAYERS[layer](hosts=[{"address": f"redis://127.0.0.1:{port}/0", "socket_timeout": None}])
    event = {"type": "order.updated", "order_id": 42, "status": "out for delivery", "note": "x" * 40}
    while line := await asyncio.to_thread(sys.stdin.readline):
        begun = time.monotonic()
        for number in range(int(line)):
            await layer.group_send(group, dict(event, number=number))
        print(json.dumps({"at": begun, "took": time.monotonic() - begun}), flush=True)


asyncio.run(main(*sys.argv[1:]))
