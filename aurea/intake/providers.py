"""Which provider and which model a run works with: the first who says so, never a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aurea.domain.errors import UsageError
from aurea.domain.spec import PROVIDERS
from aurea.intake.faults import Place, did_you_mean
from aurea.settings import VENDORS, Settings

DEFAULT_MODELS: Mapping[str, str] = {
    "openai": "gpt-5-mini",
    "anthropic": "claude-sonnet-4-6",
    "google": "gemini-3.5-flash",
    "openrouter": "openai/gpt-5-mini",
    "glm": "glm-4.6",
    "ollama": "qwen3:8b",
    "mlx": "mlx-community/Qwen3-8B-4bit",
    "replay": "cassette",
}


@dataclass(frozen=True)
class Offer:
    """What one source says about provider and model, and where."""

    provider: str | None
    model: str | None
    place: Place


@dataclass(frozen=True)
class Choice:
    """The provider and model of a run, and where the provider was named."""

    provider: str
    model: str
    place: Place


def choose(offers: Sequence[Offer], settings: Settings) -> Choice:
    """The choice that follows from `offers`, highest first, else from the one key or address that is set.

    A model is that of the highest source which names one, unless that source names another provider beside it.
    `UsageError` where nothing or more than one thing points to a provider, or where an unknown one is named.
    """
    named = next((offer for offer in offers if offer.provider), None)
    provider, place = (named.provider, named.place) if named else _only_present(settings)
    assert provider is not None
    if provider not in PROVIDERS:
        words = f"{place.file}: unknown provider {provider!r}{did_you_mean(provider, PROVIDERS)}"
        raise UsageError(words, remedy=f"the providers are {', '.join(PROVIDERS)}")
    models = (offer.model for offer in offers if offer.model and offer.provider in (None, provider))
    return Choice(provider, next(models, DEFAULT_MODELS[provider]), place)


def from_environment(settings: Settings) -> Offer:
    """What the environment says."""
    return Offer(settings.provider, settings.model, Place(settings.provider_variable))


def _only_present(settings: Settings) -> tuple[str, Place]:
    present = settings.providers_present()
    if len(present) == 1:
        return present[0], Place(settings.vendor(present[0]).variable)
    if present:
        raise UsageError(
            f"which provider? {', '.join(f'{name} ({VENDORS[name][0]})' for name in present)} are all set up",
            remedy="say which: --provider NAME, `provider: NAME` in the spec or aurea.yaml, or AUREA_PROVIDER=NAME",
        )
    variables = ", ".join(f"{variable} ({name})" for name, (variable, _) in VENDORS.items())
    raise UsageError(
        f"no provider: none is named, and none of these is set: {variables}",
        remedy="set one of them and name the provider, as in `--provider openai`; or play a recording: "
        "`--provider replay --set cassette=FILE`",
    )
