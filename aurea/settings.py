"""The settings of this process: the one place where Aurea reads the environment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from aurea.domain.errors import UsageError

LEDGER_WAIT_S = 300.0  # a database server that restarts is back in seconds, one that is moved or mended in minutes
ANSWER_WITHIN = "AUREA_ANSWER_WITHIN_S"
CACHE = "AUREA_CACHE"
TAVILY = ("TAVILY_API_KEY", "TAVILY_API_BASE_URL")
KNOWN = (
    "AUREA_HOME",
    "AUREA_WORKSPACES",
    "AUREA_LEDGER_URL",
    "AUREA_LEDGER_WAIT_S",
    "AUREA_SERVER_IDLE_S",
    "AUREA_QUALITY_WAIT_S",
    ANSWER_WITHIN,
    CACHE,
    "AUREA_PROVIDER",
    "AUREA_MODEL",
    "AUREA_BLOCKS",
)

# Each vendor's own names: the key (or a local server's address) that says it may be used, and where it answers.
VENDORS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
        "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
        "google": ("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
        "openrouter": ("OPENROUTER_API_KEY", None),
        "glm": ("ZAI_API_KEY", "ZAI_BASE_URL"),
        "ollama": ("OLLAMA_HOST", "OLLAMA_HOST"),
        "mlx": ("MLX_BASE_URL", "MLX_BASE_URL"),
    }
)


@dataclass(frozen=True)
class Vendor:
    """How to reach one provider. `key` never shows in a repr; `base_url` None: the vendor's public host."""

    name: str
    variable: str
    key: str | None = field(default=None, repr=False)
    base_url: str | None = None

    @property
    def present(self) -> bool:
        """Whether the key, or for local servers the address, is set."""
        return self.key is not None or (self.variable.endswith(("_HOST", "_URL")) and self.base_url is not None)


@dataclass(frozen=True)
class Settings:
    """What the environment says. Secrets stay out of the repr; `caller` is the environment that commands may draw on.

    `home` holds the state, `workspaces` the folders of attempts, `ledger_wait_s` the seconds that work waits for a ledger
    that is away, `server_idle_s` those until the local server stops, `quality_wait_s` those that the end of a run waits
    for its quality gate, `answer_within_s` those that a person has for an answer where the spec does not say (None: for
    ever), `cache` whether answers of models are kept across runs. `blocks` names Prefect blocks by their kind. `tavily`: how
    to reach the search engine of that name.
    """

    home: Path
    workspaces: Path
    ledger_url: str | None = field(default=None, repr=False)
    ledger_wait_s: float = LEDGER_WAIT_S
    server_idle_s: float = 900.0
    quality_wait_s: float = 15.0
    answer_within_s: float | None = None
    cache: bool | None = None
    provider: str | None = None
    provider_variable: str = "AUREA_PROVIDER"
    model: str | None = None
    blocks: Mapping[str, str] = field(default_factory=dict)
    vendors: Mapping[str, Vendor] = field(default_factory=dict)
    tavily: Vendor = Vendor("tavily", TAVILY[0])
    no_color: bool = False
    columns: int | None = None
    caller: Mapping[str, str] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, home: Path | None = None) -> Settings:
        """Read `environ` (the process's own where it is None); `home` is `--home` and goes before `AUREA_HOME`.

        `UsageError` where a variable holds what it cannot mean. Relative folders are taken from the working directory.
        """
        env = {name: value for name, value in (os.environ if environ is None else environ).items() if value}
        user = Path(env["HOME"]) if "HOME" in env else Path.home()
        state = Path(env.get("XDG_STATE_HOME", user / ".local" / "state"))
        cache = Path(env.get("XDG_CACHE_HOME", user / ".cache"))
        return cls(
            home=_folder(home or env.get("AUREA_HOME") or state / "aurea", user),
            workspaces=_folder(env.get("AUREA_WORKSPACES") or cache / "aurea", user),
            ledger_url=env.get("AUREA_LEDGER_URL"),
            ledger_wait_s=_seconds(env, "AUREA_LEDGER_WAIT_S", LEDGER_WAIT_S),
            server_idle_s=_seconds(env, "AUREA_SERVER_IDLE_S", 900.0),
            quality_wait_s=_seconds(env, "AUREA_QUALITY_WAIT_S", 15.0),
            answer_within_s=_seconds(env, ANSWER_WITHIN, 0.0) if ANSWER_WITHIN in env else None,
            cache=_switch(env, CACHE),
            provider=env.get("AUREA_PROVIDER") or env.get("PROVIDER"),
            provider_variable="AUREA_PROVIDER" if "AUREA_PROVIDER" in env else "PROVIDER",
            model=env.get("AUREA_MODEL") or env.get("MODEL"),
            blocks=MappingProxyType(_blocks(env.get("AUREA_BLOCKS", ""))),
            vendors=MappingProxyType({name: _vendor(name, env) for name in VENDORS}),
            tavily=Vendor("tavily", TAVILY[0], env.get(TAVILY[0]), env.get(TAVILY[1])),
            no_color="NO_COLOR" in env,
            columns=int(env["COLUMNS"]) if env.get("COLUMNS", "").isdecimal() else None,
            caller=MappingProxyType(env),
            warnings=tuple(_unknown(env)),
        )

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the ledger: as set, else the SQLite file of this home."""
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.db'}"

    def behind(self, variables: Mapping[str, str]) -> Settings:
        """These settings with `variables` standing in for what the environment does not say."""
        return Settings.read({**variables, **self.caller}, self.home) if variables else self

    def vendor(self, provider: str) -> Vendor:
        """How to reach `provider`; one that needs no reaching (`replay`) has neither key nor address."""
        return self.vendors.get(provider) or Vendor(provider, "")

    def providers_present(self) -> tuple[str, ...]:
        """The providers whose key or address is set."""
        return tuple(vendor.name for vendor in self.vendors.values() if vendor.present)

    def passed(self, names: Iterable[str]) -> dict[str, str]:
        """Those of the caller's variables that are set among `names`."""
        return {name: self.caller[name] for name in names if name in self.caller}


def _folder(value: str | Path, user: Path) -> Path:
    path = Path(value)
    if path.parts[:1] == ("~",):
        path = user.joinpath(*path.parts[1:])
    return path.absolute()


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(env.get(name, default))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise UsageError(f"{name}={env[name]!r} is no number of seconds", remedy=f"unset it, or write {name}=900")
    return value


def _switch(env: Mapping[str, str], name: str) -> bool | None:
    if name not in env:
        return None
    known = {"1": True, "true": True, "0": False, "false": False}
    if env[name].lower() not in known:
        raise UsageError(f"{name}={env[name]!r} is neither on nor off", remedy=f"unset it, or write {name}=1")
    return known[env[name].lower()]


def _blocks(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.replace(",", " ").split()]
    if not all(kind and equals and name for kind, equals, name in pairs):
        raise UsageError(
            f"AUREA_BLOCKS={text!r} names no blocks",
            remedy="write KIND=NAME, as in AUREA_BLOCKS=policy=night,ledger=team",
        )
    return {kind: name for kind, _, name in pairs}


def _vendor(name: str, env: Mapping[str, str]) -> Vendor:
    variable, address = VENDORS[name]
    key = env.get(variable) if variable != address else None
    return Vendor(name, variable, key, env.get(address) if address else None)


def _unknown(env: Mapping[str, str]) -> Iterable[str]:
    for name in sorted(env):
        if name.startswith("AUREA_") and name not in KNOWN:
            close = difflib.get_close_matches(name, KNOWN, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"the environment variable {name} is not known to Aurea and has no effect{hint}"
