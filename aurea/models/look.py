"""A look at the providers that costs nothing, for `aurea doctor`: which answer, and which models they have.

Plain requests for the lists of models, all at once and each with little time; no vendor's library is imported. Nothing
that is told here holds a key, or what a server said about one.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit

from aurea.domain.errors import UsageError
from aurea.models.providers import PROVIDERS, Endpoint, endpoint

WAIT_S = 3.0  # for each step of a request
IN_ALL_S = 5.0  # for all providers together
LIMIT = 8 * 2**20  # bytes of a list of models


@dataclass(frozen=True)
class Asked:
    """What one provider answered. `fault` says in words why it did not, `remedy` what to do about it.

    `models` is None where it does not list them; `key_refused`: it answers, and will not with this key.
    """

    address: str
    answers: bool = False
    models: tuple[str, ...] | None = None
    fault: str = ""
    remedy: str = ""
    key_refused: bool = False

    def has(self, model: str) -> bool | None:
        """Whether `model` is among its models, also under a dated or tagged name; None where it does not say."""
        if self.models is None:
            return None
        return any(name == model or name.startswith((f"{model}-20", f"{model}:latest")) for name in self.models)


def look(names: Iterable[str], environ: Mapping[str, str]) -> dict[str, Asked]:
    """What the providers `names` answer, asked side by side."""
    found: dict[str, Asked] = {}
    threads = []
    for name in names:
        try:
            place = endpoint(name, environ)
        except UsageError as error:
            found[name] = Asked("", fault=error.message, remedy=error.remedy)
            continue
        found[name] = Asked(place.shown, fault=f"does not answer within {IN_ALL_S:g} s", remedy=_remedy(place))

        def ask(place: Endpoint = place) -> None:
            found[place.provider.name] = _ask(place)

        # Nobody waits at the end of the process for one that hangs, in the look-up of a name for instance.
        threads.append(threading.Thread(target=ask, daemon=True))
        threads[-1].start()
    deadline = time.monotonic() + IN_ALL_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(found)


def _ask(place: Endpoint) -> Asked:
    url, headers = _request(place)
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if place.local:
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "aurea-doctor", **headers})
        with urllib.request.build_opener(*handlers).open(request, timeout=WAIT_S) as answer:
            return _read(place, answer.read(LIMIT))
    except urllib.error.HTTPError as error:
        return _refused(place, error.code)
    except (OSError, HTTPException) as error:
        return Asked(place.shown, fault=f"does not answer: {_why(error)}", remedy=_remedy(place))
    except ValueError:
        # What Python says of a header that cannot be sent has the key in it.
        variable = place.provider.key_variable or place.provider.address_variable
        return Asked(place.shown, fault=f"{variable} holds what cannot be sent", remedy=f"write {variable} anew")


def _request(place: Endpoint) -> tuple[str, dict[str, str]]:
    """The list of models of a provider: its URL and the headers that the provider wants."""
    parts, key = urlsplit(place.url), place.key
    user, _, netloc = parts.netloc.rpartition("@")
    base = parts._replace(netloc=netloc).geturl().rstrip("/")
    # A name and a password in the address are for whatever stands in front of the server.
    front = {"Authorization": f"Basic {b64encode(unquote(user).encode()).decode()}"} if user else {}
    match place.provider.name:
        case "ollama":
            return f"{base}/api/tags", front
        case "anthropic":
            url = f"{base.removesuffix('/v1')}/v1/models?limit=1000"
            return url, {"x-api-key": key, "anthropic-version": "2023-06-01", **front}
        case "google":
            return f"{base.removesuffix('/v1beta')}/v1beta/models?pageSize=1000", {"x-goog-api-key": key, **front}
    return f"{base}/models", front or ({"Authorization": f"Bearer {key}"} if key else {})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key is for the address that the user named, not for whichever it points to."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _read(place: Endpoint, body: bytes) -> Asked:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    rows = document.get("data", document.get("models")) if isinstance(document, dict) else None
    if not isinstance(rows, list):
        fault = "answers, but with no list of models"
        return Asked(place.shown, fault=fault, remedy=_remedy(place))
    said = (row.get("id") or row.get("name") for row in rows if isinstance(row, dict))
    names = {_clean(name.removeprefix("models/")) for name in said if isinstance(name, str)}
    return Asked(place.shown, answers=True, models=tuple(sorted(names)))


def _clean(name: str) -> str:
    """A name as it may be printed: servers are not to send commands to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:120]


def _refused(place: Endpoint, status: int) -> Asked:
    variable = place.provider.key_variable
    if status in (401, 403) or (status == 400 and place.provider.name == "google"):
        remedy = f"check {variable}" if variable else _remedy(place)
        fault = "does not accept the key" if place.key else "wants a key"
        return Asked(place.shown, answers=True, fault=fault, remedy=remedy, key_refused=True)
    if status in (404, 405, 501):
        # Not every server that speaks a vendor's format has this part of it.
        return Asked(place.shown, answers=True)
    return Asked(place.shown, fault=f"answers with HTTP {status}", remedy=_remedy(place))


def _remedy(place: Endpoint) -> str:
    variable = place.provider.address_variable
    if place.provider.name == "ollama":
        return "start it (`ollama serve`), or set OLLAMA_HOST to where it runs"
    if place.local:
        return f"start it, or correct {variable}"
    return f"check the network{f' and {variable}' if variable and not place.vendor else ''}"


def _why(error: BaseException) -> str:
    """A failure to connect in few words."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(reason, ssl.SSLError):
        return "no secure connection"
    return str(getattr(reason, "strerror", None) or reason or type(reason).__name__)


def configured(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a provider is set up: its key, or the address of a server that needs none."""
    provider = PROVIDERS[name]
    if provider.key_variable and environ.get(provider.key_variable, "").strip():
        return True
    address = environ.get(provider.address_variable or "", "").strip()
    return bool(address) and (provider.key_variable is None or _is_local(name, environ))


def _is_local(name: str, environ: Mapping[str, str]) -> bool:
    try:
        return endpoint(name, environ).local
    except UsageError:
        return False
