"""The plugin's health, as it tells its host."""

from __future__ import annotations

from typing import Any

from . import _watchdog as watchdog
from ._descriptors import message_class
from ._stopping import Stopping

STATUS = message_class("grpc.health.v1.HealthCheckResponse")


def health_of(service: str, stopping: Stopping) -> Any | None:
    """The status under the name that go-plugin's hosts ask for, and under none; None under every other."""
    if service not in ("", "plugin"):
        return None
    is_well = not stopping.is_set() and not watchdog.is_unwell()
    return STATUS(status=STATUS.SERVING if is_well else STATUS.NOT_SERVING)
