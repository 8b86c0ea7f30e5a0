"""The pages, and what they ask for."""

from django.urls import path

from orders import views

urlpatterns = [
    path("", views.orders, name="orders"),
    path("orders/<int:order_id>/", views.order, name="order"),
    path("orders/<int:order_id>/state/", views.state, name="state"),
    path("orders/<int:order_id>/move/", views.move, name="move"),
]
