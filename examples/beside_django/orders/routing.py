"""The routes of the sockets. The same line stands in ../main.rs."""

from django.urls import re_path

from orders.consumers import OrderConsumer

websocket_urlpatterns = [
    re_path(r"ws/order-tracking/(?P<order_id>\d+)/$", OrderConsumer.as_asgi()),
]
