"""An order, and what is announced when its status changes."""

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import models, transaction
from django.db.models import F
from django.utils import timezone


class Order(models.Model):
    class Status(models.TextChoices):
        PLACED = "placed", "Placed"
        PAID = "paid", "Paid"
        PREPARING = "preparing", "Being cooked"
        SHIPPED = "shipped", "On its way"
        DELIVERED = "delivered", "Delivered"

    customer = models.CharField(max_length=60)
    status = models.CharField(max_length=20, choices=Status, default=Status.PLACED)
    # Counts the changes: by it a page tells what is older than what it shows.
    version = models.PositiveIntegerField(default=1)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-pk"]

    @property
    def next_status(self):
        """The step that follows, or None at the end."""
        way = list(self.Status)
        following = way.index(self.Status(self.status)) + 1
        return way[following] if following < len(way) else None

    def move(self, status):
        """Changes the status, and tells everybody who watches once that is committed."""
        with transaction.atomic():
            changes = {"status": status, "version": F("version") + 1, "changed_at": timezone.now()}
            Order.objects.filter(pk=self.pk).update(**changes)
            self.refresh_from_db()
            # `robust`: the change is made, also where nobody can be told.
            transaction.on_commit(self.announce, robust=True)

    def announce(self):
        channel_layer = get_channel_layer()
        async_to_sync(channel_layer.group_send)(f"order_{self.pk}", {"type": "order.updated", **self.as_dict()})

    def as_dict(self):
        return {
            "order_id": self.pk,
            "version": self.version,
            "status": self.status,
            "label": self.get_status_display(),
            "at": self.changed_at.isoformat(timespec="milliseconds"),
        }
