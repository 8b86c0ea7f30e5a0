"""`manage.py move_order 42 shipped`: changes an order's status, as a page does."""

from django.core.management.base import BaseCommand, CommandError

from orders.models import Order


class Command(BaseCommand):
    help = "Changes an order's status."

    def add_arguments(self, parser):
        parser.add_argument("order_id", type=int)
        parser.add_argument("status", choices=Order.Status.values)

    def handle(self, *, order_id, status, **options):
        try:
            order = Order.objects.get(pk=order_id)
        except Order.DoesNotExist:
            raise CommandError(f"there is no order {order_id}") from None
        order.move(status)
        self.stdout.write(f"order {order_id} is {order.status}")
