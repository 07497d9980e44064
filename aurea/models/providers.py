"""The providers as model servers: where their requests go, what they cost by, and which model plays which role."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aurea.domain.errors import UsageError
from aurea.domain.messages import ModelRef
from aurea.domain.spec import Spec, split_model
from aurea.models.options import check_options
from aurea.settings import VENDORS


@dataclass(frozen=True)
class Provider:
    """A service that has models.

    `url` is its usual base URL, `price_list` its name in the price list (None: its models are free), `hosts` are the
    vendor's own public hosts.
    """

    name: str
    url: str = ""
    price_list: str | None = None
    hosts: tuple[str, ...] = ()

    @property
    def key_variable(self) -> str | None:
        """The environment variable of its key; None where it needs none."""
        variable, address = VENDORS.get(self.name, (None, None))
        return variable if variable != address else None

    @property
    def address_variable(self) -> str | None:
        """The environment variable of its base URL."""
        return VENDORS.get(self.name, (None, None))[1]


_OPENAI = ("openai.com", "openai.azure.com")
_GLM = ("z.ai", "bigmodel.cn")

PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider("openai", "https://api.openai.com/v1", "openai", _OPENAI),
        Provider("anthropic", "https://api.anthropic.com", "anthropic", ("anthropic.com",)),
        Provider("google", "https://generativelanguage.googleapis.com", "google", ("googleapis.com",)),
        Provider("openrouter", "https://openrouter.ai/api/v1", "openrouter", ("openrouter.ai",)),
        Provider("glm", "https://api.z.ai/api/paas/v4", "zai", _GLM),
        Provider("ollama", "http://127.0.0.1:11434", None, ("ollama.com",)),
        Provider("mlx", "http://127.0.0.1:8080/v1"),
        Provider("replay"),
    )
}


@dataclass(frozen=True)
class Endpoint:
    """Where a provider's requests go and with which key."""

    provider: Provider
    url: str
    key: str = field(default="", repr=False)

    @property
    def local(self) -> bool:
        """Whether the server runs on this machine."""
        return is_loopback(self.url)

    @property
    def vendor(self) -> bool:
        """Whether requests go to the vendor's own public hosts."""
        host = urlsplit(self.url).hostname or ""
        return any(host == name or host.endswith("." + name) for name in self.provider.hosts)

    @property
    def streams(self) -> bool:
        """Whether the server is known to give its answers piece by piece. Others may be proxies that do not."""
        return self.vendor or self.provider.name in ("ollama", "mlx")

    @property
    def shown(self) -> str:
        """The address without credentials that may stand in it."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def endpoint(name: str, environ: Mapping[str, str]) -> Endpoint:
    """Where the requests of the provider `name` go, by the vendor's own variables in `environ`."""
    provider = PROVIDERS[name]
    url = environ.get(provider.address_variable or "", "").strip() or provider.url
    url = ollama_url(url) if name == "ollama" else url
    return Endpoint(provider, url, environ.get(provider.key_variable or "", "").strip())


def ollama_url(said: str) -> str:
    """The URL that OLLAMA_HOST means, in every form that Ollama takes: host, host:port, :port, with or without a scheme.

    The address that a server listens on is good for asking it too: 0.0.0.0 means this machine. `UsageError` where it
    is no address.
    """
    text = said.strip(" \"'")
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = ("https" if text.startswith("ollama.com") else "http"), text
    place, _, path = rest.partition("/")
    with suppress(ValueError):
        place = f"[{ipaddress.IPv6Address(place)}]"
    try:
        parts = urlsplit(f"{scheme}://{place}")
        host, port = parts.hostname or "127.0.0.1", parts.port
        if scheme not in ("http", "https"):
            raise ValueError
    except ValueError:
        raise UsageError(f"OLLAMA_HOST={said!r} is no address", remedy="write it as in 127.0.0.1:11434") from None
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[scheme] if mark or scheme == "https" else 11434
    return f"{scheme}://{host}:{port or usual}/{path}".rstrip("/")


def check_ready(name: str, environ: Mapping[str, str]) -> None:
    """`UsageError` where runs cannot use the provider `name` as things stand."""
    provider = PROVIDERS[name]
    here = endpoint(name, environ)
    if provider.key_variable and not here.key and not here.local:
        raise UsageError(f"provider {name!r} has no key", remedy=f"set {provider.key_variable}")


def model_for(spec: Spec, role: str, *, provider: str, model: str, named: str | None = None) -> ModelRef:
    """The model that plays `role`: `named` (a reviewer's own), else the role's, else `model`, the run's.

    It is written `provider:model`; without a known provider in front the whole is a model of `provider`. A replay plays
    all roles, whichever provider's they were when it was recorded.
    """
    choice = spec.roles.get(role)
    options: dict[str, Any] = dict(choice.options) if choice else {}
    text = named or (choice.model if choice else None) or model
    head, name = split_model(text)
    if head in PROVIDERS:
        return ModelRef(provider="replay" if provider == "replay" else head, name=name, options=options)
    return ModelRef(provider=provider, name=text, options=options)


def fallbacks(spec: Spec, role: str, *, provider: str) -> tuple[ModelRef, ...]:
    """The models that go on for `role` where its own cannot, in order; `provider` is the run's.

    Options are a provider's own words: they go to the fallbacks of the provider that they were written for alone. A
    replay has none: whoever answered, it is in the cassette.
    """
    choice = spec.roles.get(role)
    if choice is None or provider == "replay":
        return ()
    own = split_model(choice.model or "")[0]
    meant = own if own in PROVIDERS else provider
    found = []
    for text in choice.fallback:
        head, name = split_model(text)
        head, name = (head, name) if head in PROVIDERS else (provider, text)
        assert head is not None
        found.append(ModelRef(provider=head, name=name, options=dict(choice.options) if head == meant else {}))
    return tuple(found)


def check_roles(spec: Spec, environ: Mapping[str, str], *, provider: str) -> None:
    """`UsageError` for options of a role that cannot be sent, and for a fallback whose provider cannot be used.

    The message says which role.
    """
    for role in spec.roles:
        place = f"roles.{role}.options"
        try:
            check_options(model_for(spec, role, provider=provider, model="any"))
            place = f"roles.{role}.fallback"
            for model in fallbacks(spec, role, provider=provider):
                check_options(model)
                check_ready(model.provider, environ)
        except UsageError as fault:
            raise UsageError(f"{place}: {fault.message}", remedy=fault.remedy) from None


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
