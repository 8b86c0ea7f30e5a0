"""The consumer as it was in Channels. `OrderConsumer` in ../main.rs takes its place."""

from urllib.parse import parse_qs

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from orders import tickets


class OrderConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        order_id = self.scope["url_route"]["kwargs"]["order_id"]
        self.group = f"order_{order_id}"
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        if not tickets.opens(query.get("ticket", [""])[0], order_id):
            await self.close()
            return
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, close_code):
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def order_updated(self, event):
        await self.send_json(event)
