"""A project as `startproject` makes it, with Channels on Redis; what is about sockets stands at the end."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("DEBUG", "1") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY", "for-development-only") if DEBUG else os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "daphne",  # `runserver` serves sockets, too
    "django.contrib.staticfiles",
    "channels",
    "orders",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "shop.urls"
ASGI_APPLICATION = "shop.asgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE_FILE", BASE_DIR / "db.sqlite3"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
STATIC_URL = "static/"

# Django and strait meet here: nothing of it changes when the sockets move.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            # redis-py 8 would cut a consumer off that waits for longer than 5 s.
            "hosts": [{"address": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"), "socket_timeout": None}],
        },
    }
}

# Where pages open their sockets. Empty is the page's own host: Django itself, or a proxy that hands /ws/ to strait.
SOCKETS_ORIGIN = os.environ.get("SOCKETS_ORIGIN", "ws://127.0.0.1:9000")

# Signs the tickets that open a socket. Whoever serves the sockets has it, too, and needs no SECRET_KEY.
SOCKETS_KEY = os.environ.get("SOCKETS_KEY", "for-development-only") if DEBUG else os.environ["SOCKETS_KEY"]
