"""Tickets: who may see an order's page gets a word that opens its socket for a minute, wherever the socket is served."""

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner

MAX_AGE = 60  # seconds
_signer = TimestampSigner(key=settings.SOCKETS_KEY, salt="order-tracking")


def ticket_for(order_id):
    return _signer.sign(str(order_id))


def opens(ticket, order_id):
    try:
        return _signer.unsign(ticket, max_age=MAX_AGE) == str(order_id)
    except BadSignature:
        return False
