"""The spec: what a user asks for, as validated values. Reading files and naming faults by line is intake's work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from aurea.domain.command_words import OWN_PYTHON, as_words
from aurea.domain.context import require_needed, require_part, require_tokens
from aurea.domain.errors import UsageError
from aurea.domain.route import LOOP, Route

ITEM_ID = r"^[a-z0-9][a-z0-9_-]{0,63}$"
RUN_ID = r"^[a-z0-9][a-z0-9-]{3,63}$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
BLOCK = r"^[a-z0-9-]{1,100}$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
AUTHOR = r"^[^<>\n]+ <[^<>\s]+>$"
SERVER = r"^[a-z][a-z0-9_-]{0,31}$"
TOOL = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
LATEST = "latest"  # stands for the newest run wherever a run is named
PATTERN_WORDS = {
    ITEM_ID: "lower-case letters, digits, `_` and `-`, beginning with a letter or digit, at most 64",
    RUN_ID: "4 to 64 lower-case letters, digits and `-`, beginning with a letter or digit",
    NAME: "letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most 64, without spaces",
    BLOCK: "lower-case letters, digits and `-`",
    VARIABLE: "the name of an environment variable (letters, digits and `_`)",
    AUTHOR: "`Name <address>`",
    SERVER: "lower-case letters, digits, `_` and `-`, beginning with a letter, at most 32",
    TOOL: "the name of a tool (letters, digits, `_` and `-`)",
}

PROVIDERS = ("openai", "anthropic", "google", "openrouter", "glm", "ollama", "mlx", "replay")
ROLES = (
    "planner",
    "coder",
    "tester",
    "test_architect",
    "architect",
    "builder",
    "docs",
    "reviewer",
    "researcher",
    "merger",
    "guardian",
)
WORKERS = tuple(role for role in ROLES if role not in ("planner", "reviewer", "guardian"))  # who carries out work items

Provider = Literal["openai", "anthropic", "google", "openrouter", "glm", "ollama", "mlx", "replay"]


def require_run_id(name: str) -> str:
    """`name`, where it may be the id of a run; `UsageError` otherwise."""
    if not re.fullmatch(RUN_ID, name) or name == LATEST:
        raise UsageError(
            f"{name[:80]!r} cannot be the id of a run", remedy=f"write {PATTERN_WORDS[RUN_ID]}, but not `{LATEST}`"
        )
    return name


def split_model(choice: str) -> tuple[str | None, str]:
    """Take `provider:model` apart at the first colon; without one the model is of the run's own provider."""
    provider, colon, model = choice.partition(":")
    return (provider, model) if colon else (None, choice)


def _role_name(name: str) -> str:
    if name not in ROLES:
        raise ValueError(f"unknown role {name!r}; the roles are {', '.join(ROLES)}")
    return name


def _provider_name(name: str) -> str:
    if name not in PROVIDERS:
        raise ValueError(f"unknown provider {name!r}; the providers are {', '.join(PROVIDERS)}")
    return name


def _priced_model(name: str) -> str:
    provider, model = split_model(name)
    if provider not in PROVIDERS or not model:
        raise ValueError(f"write provider:model, as in openai:my-model, not {name!r}")
    return name


def _whole_as_text(value: Any) -> Any:
    """A whole number has one way to be written, so it may stand for its text; anything else must be quoted."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"{path!r} leads out of the workspace; write a folder relative to the repository's root")
    return path


def _http(url: str) -> str:
    if not re.match(r"https?://[^\s/]", url):
        raise ValueError(f"{url!r} is no address of a server; write http://... or https://...")
    return url


def _role(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


ItemId = Annotated[str, StringConstraints(pattern=ITEM_ID)]
Name = Annotated[str, StringConstraints(pattern=NAME)]
ToolName = Annotated[str, StringConstraints(pattern=TOOL)]
BlockName = Annotated[str, StringConstraints(pattern=BLOCK)]
Variable = Annotated[str, StringConstraints(pattern=VARIABLE)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=7 * 86400)]
Switch = Annotated[bool, Field(strict=True)]
Limit = Literal["none"]
Patience = Annotated[float, Field(strict=True, gt=0, le=366 * 86400)]
Word = Annotated[str, BeforeValidator(_whole_as_text)]
Command = Annotated[
    tuple[Word, ...], BeforeValidator(as_words, json_schema_input_type=str | list[str]), Field(min_length=1)
]
Environment = dict[Variable, Word]
RoleName = Annotated[str, AfterValidator(_role_name)]
PartName = Annotated[str, AfterValidator(require_part)]
PartTokens = Annotated[int, Field(strict=True, ge=0), AfterValidator(require_tokens)]
ProviderName = Annotated[str, AfterValidator(_provider_name)]
PricedModel = Annotated[str, AfterValidator(_priced_model)]
Usd = Annotated[float, Field(strict=True, ge=0)]


class Part(BaseModel):
    """Base of every part of a spec: frozen, closed, strict about types."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Check(Part):
    """A command whose exit status is evidence."""

    name: Name
    run: Command
    kind: Literal["test", "lint", "types", "build", "other"] = "test"
    timeout_s: Seconds = 300
    silence_s: Seconds = 300
    cwd: Annotated[str, AfterValidator(_inside)] = "."
    env: Environment = Field(default_factory=dict)
    when: Literal["both", "attempt", "gate"] = "both"
    exclusive: Name | None = None


class Reviewer(Part):
    """A model that judges an attempt; `focus` tells it what to look for."""

    role: Literal["reviewer"] = "reviewer"
    model: Text | None = None
    focus: str = "correctness"


def _unset(value: object) -> bool:
    """Keys that came later are written only where they say something, so that the digests of older specs stay."""
    return not value


class RoleChoice(Part):
    """Which model plays a role, with which options, and whether it is shown all its tools or the most used ones.

    `context_tokens` is what its model takes, `attempt_tokens` what one conversation may use in all; `deny` names tools
    that it does not get.
    """

    model: Text | None = None
    fallback: tuple[Text, ...] = ()
    options: dict[str, Any] = Field(default_factory=dict)
    tools: Literal["core", "all"] = "core"
    context_tokens: Annotated[int, Field(strict=True, ge=2048)] | None = None
    attempt_tokens: Annotated[int, Field(strict=True, ge=1)] | None = None
    deny: tuple[ToolName, ...] = Field(default=(), exclude_if=_unset)


class McpServer(Part):
    """A server of tools: a command that speaks MCP on its standard input and output, or an address.

    `tools` are those that agents get of it, None: all; `roles` who gets them; `effect` what its tools do. `pass_env` and
    `token_env` name variables of the caller: for its environment, and for what it is sent as `Authorization: Bearer`.
    """

    name: Annotated[str, StringConstraints(pattern=SERVER)]
    command: Command | None = None
    url: Annotated[str, AfterValidator(_http)] | None = None
    env: Environment = Field(default_factory=dict)
    pass_env: tuple[Variable, ...] = ()
    token_env: Variable | None = None
    tools: tuple[Text, ...] | None = None
    roles: tuple[RoleName, ...] = WORKERS
    effect: Literal["read", "write", "outside"] = "outside"
    timeout_s: Seconds = 60

    @model_validator(mode="after")
    def _one_way(self) -> McpServer:
        if (self.command is None) == (self.url is None):
            raise ValueError("a server has either a `command` or a `url`")
        if self.url is not None and (self.env or self.pass_env):
            raise ValueError("`env` and `pass_env` are for a `command`; a `url` is given a token by `token_env`")
        if self.command is not None and self.token_env is not None:
            raise ValueError("`token_env` is for a `url`; a `command` is given variables by `pass_env`")
        return self

    @property
    def secret(self) -> bool:
        """Whether it is given something of the caller's that others must not have."""
        return bool(self.pass_env or self.token_env)


class ItemSpec(Part):
    """A work item as a user or a planner writes it."""

    id: ItemId
    title: str = ""
    goal: Text
    criteria: tuple[Text, ...] = ()
    files: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    priority: int = 0
    role: str = "coder"
    checks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The title, or the id where none was given."""
        return self.title or self.id


class CommitSpec(Part):
    """Whose name landing commits carry."""

    author: Annotated[str, StringConstraints(pattern=AUTHOR)] = "Aurea <aurea@localhost>"


class BlockNames(Part):
    """Which Prefect blocks stand behind a spec, by name; None: the one named `default`, where there is one."""

    provider: BlockName | None = None
    workspace: BlockName | None = None
    ledger: BlockName | None = None
    policy: BlockName | None = None
    notification: BlockName | None = None


class ProviderLimits(Part):
    """What a provider lets one machine ask. What is absent has no limit of its own."""

    requests_per_minute: Annotated[int, Field(strict=True, ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(strict=True, ge=1)] | None = None
    concurrency: Annotated[int, Field(strict=True, ge=1)] | None = None


class ModelPrice(Part):
    """What a model costs, in US dollars for a million tokens; cached ones as the others where nothing is said."""

    input: Usd
    output: Usd
    cached_input: Usd | None = None


class Budgets(Part):
    """Hard stops beside `budget_usd`: of each item and each role in a run, and of all runs of the ledger in a day (UTC).

    `items` are those of single items, instead of `item_usd`.
    """

    item_usd: Usd | Limit = "none"
    day_usd: Usd | Limit = "none"
    roles: dict[RoleName, Usd | Limit] = Field(default_factory=dict)
    items: dict[ItemId, Usd | Limit] = Field(default_factory=dict)


RoleEntry = Annotated[RoleChoice, BeforeValidator(_role, json_schema_input_type=str | RoleChoice)]


class Spec(Part):
    """One resolved spec. Paths are absolute here; intake has made them so."""

    project: Name
    objective: Text
    provider: Provider | None = None
    model: Text | None = None
    concurrency: Annotated[int, Field(strict=True, ge=1, le=256)] = 4
    timeout_s: Seconds = 900
    run_timeout_s: Seconds | Limit = "none"
    answer_within_s: Patience | Limit = "none"
    repo: Text | None = None
    output_dir: Text | None = None
    base: Text | None = None
    land: Literal["branch", "target", "pull_request"] = "branch"
    push: Text | None = None
    acceptance: tuple[Text, ...] = ()
    setup: tuple[Command, ...] = ()
    env: Environment = Field(default_factory=dict)
    pass_env: tuple[Variable, ...] = ()
    checks: tuple[Check, ...] | None = None
    reviewers: tuple[Reviewer, ...] = (Reviewer(),)
    approvals: tuple[Literal["plan", "land"], ...] = ()
    max_attempts: Annotated[int, Field(strict=True, ge=1, le=50)] = 5
    review_loops: Annotated[int, Field(strict=True, ge=0, le=50)] = 3
    budget_usd: Annotated[float, Field(strict=True, ge=0)] | Limit = 5.0
    budgets: Budgets = Field(default=Budgets(), exclude_if=lambda value: value == Budgets())
    roles: dict[RoleName, RoleEntry] = Field(default_factory=dict)
    limits: dict[ProviderName, ProviderLimits] = Field(default_factory=dict)
    cache: Switch = False
    context: Annotated[dict[PartName, PartTokens], AfterValidator(require_needed)] = Field(
        default_factory=dict, exclude_if=_unset
    )
    prices: dict[PricedModel, ModelPrice] = Field(default_factory=dict)
    items: tuple[ItemSpec, ...] | None = None
    cassette: Text | None = None
    template: Literal["loop"] | Route = "loop"
    sandbox: Literal["auto", "process", "bubblewrap", "container", "none"] = "auto"
    network: Literal["none", "open"] | tuple[Text, ...] = "none"
    web_search: Switch = False
    mcp: tuple[McpServer, ...] = ()
    plugins: tuple[Name, ...] = Field(default=(), exclude_if=_unset)
    model_headers: Switch | Literal["always"] = True
    stream: Switch | Literal["auto"] = Field(default="auto", exclude_if=lambda value: value == "auto")
    commit: CommitSpec = CommitSpec()
    blocks: BlockNames = BlockNames()
    unproven: Switch = False

    @model_validator(mode="after")
    def _proof(self) -> Spec:
        names = None if self.checks is None else [check.name for check in self.checks]
        found = contradictions(names, unproven=self.unproven)
        if found:
            raise ValueError("; ".join(message for _, message in found))
        return self

    def checks_for(self, item: ItemSpec, moment: Literal["attempt", "gate"]) -> tuple[Check, ...]:
        """The checks that judge `item` at `moment`; an item that names none is judged by all."""
        wanted = set(item.checks)
        return tuple(
            check
            for check in self.checks or ()
            if check.when in ("both", moment) and (not wanted or check.name in wanted)
        )

    @property
    def route(self) -> Route:
        """What the template makes of the run."""
        return LOOP if self.template == "loop" else self.template

    def all_tools(self, role: str) -> bool:
        """Whether agents of `role` are shown every tool at once."""
        return role in self.roles and self.roles[role].tools == "all"

    @property
    def uses_own_python(self) -> bool:
        """Whether a command of it is run by the interpreter that runs Aurea."""
        commands = (*self.setup, *(check.run for check in self.checks or ()))
        return any(OWN_PYTHON in word for words in commands for word in words)

    @property
    def gate_checks(self) -> tuple[Check, ...]:
        """What must pass on a tree before the target may move to it: all checks, whatever items name."""
        return tuple(check for check in self.checks or () if check.when in ("both", "gate"))


def contradictions(names: Sequence[object] | None, *, unproven: bool) -> list[tuple[tuple[str | int, ...], str]]:
    """Where the checks, by `names` (None: not decided yet), and `unproven` contradict each other: path and words."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    first: dict[object, int] = {}
    for index, name in enumerate(names or ()):
        if first.setdefault(name, index) != index:
            found.append((("checks", index, "name"), f"two checks are named {name!r}"))
    if unproven and names:
        found.append((("unproven",), "`unproven: true` goes only together with `checks: []`"))
    if names is not None and not names and not unproven:
        found.append((("checks",), "no checks: nothing could be proven; add a check, or say `unproven: true`"))
    return found
