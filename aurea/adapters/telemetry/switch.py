"""Whether spans are sent, by OpenTelemetry's own variables, and what stands in the way where they cannot be."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aurea.adapters.telemetry.follower import Telemetry

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
PROTOCOL = "http/protobuf"

_log = logging.getLogger(__name__)


def telemetry(environ: Mapping[str, str], run: str) -> Telemetry | None:
    """What follows `run` and sends its spans; None where none are asked for, or (which is said) none can be sent."""
    if not is_on(environ):
        return None
    if (why := obstacle(environ)) is not None:
        _log.warning("no telemetry is sent: %s", why)
        return None
    from aurea.adapters.telemetry.follower import Telemetry, otlp

    named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    content = environ.get(CAPTURE, "").strip().lower() == "true"
    return Telemetry(run, otlp(), content=content, service="" if named else "aurea")


def is_on(environ: Mapping[str, str]) -> bool:
    """Whether an exporter of traces is configured."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    named = _exporters(environ)
    return "none" not in named if named else any(environ.get(name) for name in ENDPOINTS)


def obstacle(environ: Mapping[str, str]) -> str | None:
    """Why spans cannot be sent although an exporter is configured; None: they can."""
    named = _exporters(environ)
    if named and "otlp" not in named:
        return f"OTEL_TRACES_EXPORTER={','.join(named)} is not known here; `otlp` is"
    asked = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or PROTOCOL
    if asked != PROTOCOL:
        return f"the protocol {asked} is not known here; {PROTOCOL} is (OTEL_EXPORTER_OTLP_PROTOCOL)"
    if not all(map(_is_installed, NEEDED)):
        return "OpenTelemetry's exporter is not installed: `pip install 'aurea[otel]'`"
    return None


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def _exporters(environ: Mapping[str, str]) -> list[str]:
    return [name for part in environ.get("OTEL_TRACES_EXPORTER", "").split(",") if (name := part.strip().lower())]
