"""The pages. Plain Django: that somebody else holds the sockets shows in one setting."""

from django.conf import settings
from django.http import HttpResponseBadRequest, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from orders import tickets
from orders.models import Order


def orders(request):
    """The list; a POST places an order."""
    if request.method == "POST":
        customer = request.POST.get("customer", "").strip()[:60]
        if customer:
            Order.objects.create(customer=customer)
        return redirect("orders")
    return render(request, "orders/list.html", {"orders": Order.objects.all()[:50]})


@require_POST
def move(request, order_id):
    status = request.POST.get("status")
    if status not in Order.Status.values:
        return HttpResponseBadRequest("There is no such status.")
    get_object_or_404(Order, pk=order_id).move(status)
    return redirect("orders")


@require_safe
def order(request, order_id):
    found = get_object_or_404(Order, pk=order_id)
    steps = list(Order.Status)
    context = {"order": found, "steps": steps, "sockets_origin": settings.SOCKETS_ORIGIN}
    return render(request, "orders/order.html", context)


@never_cache
@require_safe
def state(request, order_id):
    """Where an order stands, and a ticket for its socket. Who may not see the order, gets neither: decide that here."""
    found = get_object_or_404(Order, pk=order_id)
    return JsonResponse({**found.as_dict(), "ticket": tickets.ticket_for(order_id)})
