"""What `aurea doctor` tells of the providers: set up or not, answering or not, their models, what to do."""

from __future__ import annotations

from typing import Any

from aurea.intake.providers import DEFAULT_MODELS
from aurea.models.look import Asked, configured, look
from aurea.models.providers import PROVIDERS, Provider
from aurea.reporting.text import many
from aurea.settings import Settings

SHOWN = 4
SET_UP = {"ollama": "start it with `ollama serve`; where it runs elsewhere, set OLLAMA_HOST"}
LISTS_FOR_ALL = ("openrouter",)  # gives its list to everybody, so it proves no key


def findings(settings: Settings) -> list[dict[str, Any]]:
    """One finding for each provider. Those that are set up are asked for their models, which costs nothing.

    An Ollama on this machine is asked in any case: it needs no setting up.
    """
    live = [provider for provider in PROVIDERS.values() if provider.name != "replay"]
    ready = {provider.name for provider in live if configured(provider.name, settings.caller)}
    asked = look([provider.name for provider in live if provider.name in {*ready, "ollama"}], settings.caller)
    return [
        _finding(provider, _model(provider.name, settings), asked.get(provider.name), ready=provider.name in ready)
        for provider in PROVIDERS.values()
    ]


def _model(provider: str, settings: Settings) -> str:
    """The model that a run with `provider` has where nothing but the environment names one."""
    return (settings.provider == provider and settings.model) or DEFAULT_MODELS[provider]


def _finding(provider: Provider, default: str, asked: Asked | None, *, ready: bool) -> dict[str, Any]:
    name = provider.name
    if name == "replay":
        return {
            "name": name, "ok": True, "needed": False, "found": "plays the cassette that a spec names", "remedy": "",
        }  # fmt: skip
    there = asked.has(default) if asked else None
    wanted = provider.key_variable or provider.address_variable
    if not ready and not (asked and asked.answers):
        asked = None
    if asked is None:
        found, remedy = f"not set up; default model {default}", SET_UP.get(name, f"set {wanted}")
    else:
        found, remedy = _told(asked, default, there), asked.remedy
        if not remedy and there is False:
            remedy = _missing(name, default, asked)
        if not ready:
            found, remedy = f"not set up, but {found}", f"{remedy or 'it can be used'}; name it with --provider {name}"
    return {
        "name": name,
        "ok": ready and asked is not None and asked.answers and not asked.key_refused,
        "needed": False,
        "found": found,
        "remedy": remedy,
        "configured": ready,
        "address": asked.address if asked else None,
        "answers": asked.answers if asked else None,
        "key_accepted": _key_accepted(provider, asked),
        "models": None if asked is None or asked.models is None else list(asked.models),
        "default_model": default,
        "default_model_there": there,
    }


def _key_accepted(provider: Provider, asked: Asked | None) -> bool | None:
    """Whether the key is good; None where nothing tells."""
    if asked is None or not asked.answers or provider.key_variable is None:
        return None
    if asked.key_refused:
        return False
    return True if asked.models is not None and provider.name not in LISTS_FOR_ALL else None


def _told(asked: Asked, default: str, there: bool | None) -> str:
    if asked.fault:
        return f"{asked.address} {asked.fault}".strip()
    if asked.models is None:
        return f"{asked.address} answers, without a list of models; default model {default}"
    few = sorted(asked.models, key=lambda name: name != default)[:SHOWN]
    dots = ", …" if len(asked.models) > len(few) else ""
    listed = f"{many(len(asked.models), 'model')}{': ' if few else ''}{', '.join(few)}{dots}"
    return f"{asked.address} answers, {listed}; default model {default}{'' if there else ' is not there'}"


def _missing(name: str, default: str, asked: Asked) -> str:
    other = f"name one that it has: --model {asked.models[0]}" if asked.models else ""
    pull = f"`ollama pull {default}`" if name == "ollama" else ""
    return ", or ".join(filter(None, (pull, other))) or "name a model with --model"
