"""Every address of the project."""

from django.urls import include, path

urlpatterns = [path("", include("orders.urls"))]
