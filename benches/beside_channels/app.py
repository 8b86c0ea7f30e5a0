"""The consumer of the tutorial, on Django Channels: joins its group, and sends on what comes from there."""

import json
import os

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="bench",
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": {
                "core": "channels_redis.core.RedisChannelLayer",
                "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
            }[os.environ["LAYER"]],
            # Newer clients of Redis give up after 5 s, which is how long the layer waits.
            "CONFIG": {"hosts": [{"address": f"redis://127.0.0.1:{os.environ['REDIS']}/0", "socket_timeout": None}]},
        }
    },
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import re_path  # noqa: E402


class OrderConsumer(AsyncWebsocketConsumer):
    async def connect(self):
        self.group = self.scope["url_route"]["kwargs"]["group"]
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def order_updated(self, event):
        await self.send(text_data=json.dumps(event))


application = ProtocolTypeRouter(
    {"websocket": URLRouter([re_path(r"relay/(?P<group>\w+)/$", OrderConsumer.as_asgi())])}
)
