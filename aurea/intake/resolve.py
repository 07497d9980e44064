"""From what a user wrote, said on the command line and set in the environment to one resolved spec."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from aurea.domain.errors import UsageError
from aurea.domain.spec import Spec
from aurea.intake.discover import discover
from aurea.intake.documents import parse, read_file
from aurea.intake.faults import Faults, Place, Places, SpecFaults
from aurea.intake.layers import Flags, Layer, from_document, from_flags, is_url, merge
from aurea.intake.providers import Choice, Offer, choose, from_environment
from aurea.intake.repository import DEFAULTS, is_free, project_name, root_above, unusable
from aurea.intake.rules import look_across, look_ahead
from aurea.intake.sources import Source, Written, read_source
from aurea.intake.template import Places as TemplatePlaces
from aurea.intake.template import lay_template
from aurea.intake.wording import tell
from aurea.ledger.chain import canonical
from aurea.settings import ANSWER_WITHIN, CACHE, Settings


@dataclass(frozen=True)
class Resolved:
    """A spec that can be worked on: every path absolute, provider and model decided.

    `source_text` is what the user wrote (None: nothing but flags); `digest` tells whether two specs are the same.
    """

    spec: Spec
    source_text: str | None
    source_name: str
    digest: str
    provider: str
    model: str
    warnings: tuple[str, ...] = ()

    @property
    def repo(self) -> Path | None:
        """The user's repository; None: Aurea makes a new one."""
        return Path(self.spec.repo) if self.spec.repo else None


@dataclass(frozen=True)
class Stored:
    """What a server keeps for many runs, behind everything that is written, said and set.

    `defaults` are keys of a spec, by the block they stand in; `variables` stand in for the environment's.
    """

    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass
class _Stack:
    """The layers of a spec, highest first, what the user wrote, and where its template may lie."""

    layers: list[Layer]
    templates: TemplatePlaces
    text: str | None = None
    name: str = "--objective"


@dataclass(frozen=True)
class Asked:
    """What a user asks for: a sound spec of which provider, model and stored defaults are not decided yet."""

    spec: Spec
    stack: _Stack
    faults: Faults


def resolve(
    source: Source,
    flags: Flags,
    *,
    cwd: Path,
    settings: Settings,
    stdin: BinaryIO | None = None,
    stored: Stored | None = None,
) -> Resolved:
    """Read what is asked for, and decide what it leaves open. Writes nothing; refuses as `read` and `decide` do."""
    return decide(read(source, flags, cwd=cwd, settings=settings, stdin=stdin), settings, stored)


def read(source: Source, flags: Flags, *, cwd: Path, settings: Settings, stdin: BinaryIO | None = None) -> Asked:
    """Read, merge and validate.

    `source` is a path, `-` for standard input, YAML text, a mapping, or None for the repository's `aurea.yaml`.
    `SpecFaults` holds everything that is wrong with what was written; other `UsageError`s say that there is nothing to
    work on.
    """
    faults = Faults(Places(Place("--objective")))
    stack = _stack(read_source(source, cwd.resolve(), stdin), flags, cwd.resolve(), faults)
    if settings.blocks:
        stack.layers.append(_unwritten({"blocks": dict(settings.blocks)}, "AUREA_BLOCKS"))
    if settings.answer_within_s is not None:
        stack.layers.append(_unwritten({"answer_within_s": settings.answer_within_s}, ANSWER_WITHIN))
    if settings.cache is not None:
        stack.layers.append(_unwritten({"cache": settings.cache}, CACHE))
    return Asked(_merged(stack.layers, stack.templates, faults), stack, faults)


def decide(asked: Asked, settings: Settings, stored: Stored | None = None) -> Resolved:
    """Lay what is asked for over what is `stored`, and choose provider and model.

    `SpecFaults` where a stored default cannot be used, `UsageError` where there is no provider to work with.
    """
    stack, spec = asked.stack, asked.spec
    kept = [_unwritten(data, f"block {name}") for name, data in (stored.defaults if stored else {}).items()]
    offers = [*map(_offer, stack.layers), from_environment(settings), *map(_offer, kept)]
    if kept:
        for layer in kept:  # the environment goes before these two
            layer.data = {key: value for key, value in layer.data.items() if key not in ("provider", "model")}
        spec = _merged(stack.layers, stack.templates, asked.faults, kept)
    choice = _chosen(offers, spec, settings)
    spec = spec.model_copy(update={"provider": choice.provider, "model": choice.model})
    warnings = (*settings.warnings, *_warnings(spec, settings))
    return Resolved(spec, stack.text, stack.name, digest(spec), choice.provider, choice.model, warnings)


def digest(spec: Spec) -> str:
    """The digest of a resolved spec: the same for two that ask for the same."""
    return "sha256:" + hashlib.sha256(canonical(spec.model_dump(mode="json")).encode()).hexdigest()


def require_free_output(spec: Spec) -> None:
    """Refuse to make a new repository where something stands already. For new runs only: a resumed one has made it."""
    if spec.repo is None and spec.output_dir is not None and not is_free(Path(spec.output_dir)):
        raise UsageError(
            f"output_dir: {spec.output_dir!r} is not empty",
            remedy="name another folder, empty this one, or name it as `repo` if it is the repository to work on",
        )


def _stack(written: Written | None, flags: Flags, cwd: Path, faults: Faults) -> _Stack:
    """Gather the layers: flags, spec, the repository's `aurea.yaml`, and what can be found without being told."""
    if written is not None and written.is_defaults:
        cwd, written = written.folder, None
    layers = [from_flags(flags, cwd, faults)]
    if written is not None:
        layers.append(from_document(written.document, written.folder, faults))
    repo = _repository(layers, cwd, faults, required=written is None)
    stack = _Stack(layers, TemplatePlaces(cwd, repo))
    if written is not None:
        stack.text, stack.name = written.document.text, written.name
    defaults = repo / DEFAULTS if repo is not None else None
    if repo is not None and defaults is not None and defaults.is_file():
        _lay_defaults(stack, repo, _shown(defaults, cwd), faults)
    elif written is None and "objective" not in stack.layers[0].data:
        remedy = 'name a spec file, or say --objective "...", or write aurea.yaml with `aurea init`'
        raise UsageError(f"nothing to do: no spec, no --objective, and no {DEFAULTS} in {repo or cwd}", remedy=remedy)
    if len(stack.layers) > 1:
        faults.places.root = stack.layers[1].places.root
    if repo is not None and written is None:
        stack.layers.append(_found(repo, stack.layers))
    return stack


def _repository(layers: list[Layer], cwd: Path, faults: Faults, *, required: bool) -> Path | None:
    """The repository of the run; None where a new one is to be made, or where the one that is named cannot be used."""
    for layer in layers:
        if "repo" not in layer.data:
            continue
        named = layer.data["repo"]
        if not isinstance(named, str) or not named.strip() or is_url(named):
            return None
        reason = unusable(Path(named))
        if reason:
            faults.put(layer.places.of(("repo",)), ("repo",), reason)
        return None if reason else Path(named)
    root = root_above(cwd) if required else None
    if required and root is None:
        raise UsageError(
            f"{str(cwd)!r} is in no git repository",
            remedy="go into one, name one with --repo, or write a spec file: without `repo` it makes a new repository",
        )
    return root


def _lay_defaults(stack: _Stack, repo: Path, name: str, faults: Faults) -> None:
    document = parse(read_file(repo / DEFAULTS, name), name)
    layer = from_document(document, repo, faults)
    if layer.data.get("repo", str(repo)) != str(repo):
        words = f"{DEFAULTS} is about the repository it stands in; leave `repo` out"
        faults.put(layer.places.of(("repo",)), ("repo",), words)
    layer.data.pop("repo", None)
    if any("objective" in higher.data for higher in stack.layers):
        # Items are the plan of one objective; another one gets its own.
        layer.data.pop("items", None)
    stack.layers.append(layer)
    if stack.text is None:
        stack.text, stack.name = document.text, name


def _shown(file: Path, cwd: Path) -> str:
    return str(file.relative_to(cwd)) if file.is_relative_to(cwd) else str(file)


def _unwritten(data: Mapping[str, Any], source: str) -> Layer:
    """The layer of something that is no document: every key of it stands at `source`."""
    place, layer = Place(source), Layer(dict(data), Places(Place(source)))
    for key, value in data.items():
        layer.places.put((key,), place, place)
        for entry in value if isinstance(value, Mapping) else ():
            layer.places.put((key, entry), place, place)
    return layer


def _found(repo: Path, layers: list[Layer]) -> Layer:
    """What nobody needs to say where a run is about an existing repository: its name, and what `init` would find."""
    data: dict[str, Any] = {"repo": str(repo), "project": project_name(repo)}
    if not any("checks" in layer.data for layer in layers):
        found = discover(repo)
        if found.checks:
            data["checks"] = [check.as_spec() for check in found.checks]
            data["setup"] = [list(step.run) for step in found.setup]
    return Layer(data, Places(Place(str(repo))))


def _merged(layers: list[Layer], templates: TemplatePlaces, faults: Faults, kept: Sequence[Layer] = ()) -> Spec:
    """The spec of `layers`, then its template, then what is `kept`."""
    data = merge([*layers, *kept], faults)
    said = {key for layer in layers for key in (*layer.data, *(path[0] for path, _, _ in layer.deep))}
    lay_template(data, faults, templates, said)
    look_across(data, faults)
    look_ahead(data, faults)
    return _shaped(data, faults)


def _shaped(data: dict[str, Any], faults: Faults) -> Spec:
    """The spec itself; `SpecFaults` with everything that was found so far, too."""
    for key, there in (("cassette", Path.is_file), ("output_dir", lambda path: path.is_dir() or not path.exists())):
        value = data.get(key)
        if isinstance(value, str) and value.strip() and not there(Path(value)):
            faults.add((key,), f"{value!r} is no {'file' if key == 'cassette' else 'folder'}")
    try:
        spec = Spec.model_validate(data)
    except ValidationError as wrong:
        errors = wrong.errors(include_url=False)
        # What the whole spec says of itself (it has no location), look_across has said with the place.
        tell([error for error in errors if error["loc"]], data, faults)
        faults.stop()
        raise SpecFaults(()) from wrong
    faults.stop()
    return spec


def _chosen(offers: list[Offer], spec: Spec, settings: Settings) -> Choice:
    choice = choose(offers, settings)
    if choice.provider == "replay" and spec.cassette is None:
        raise UsageError(f"{choice.place.file}: provider replay plays a recording", remedy="name it: `cassette: FILE`")
    return choice


def _offer(layer: Layer) -> Offer:
    return Offer(layer.data.get("provider"), layer.data.get("model"), layer.places.of(("provider",)))


def _warnings(spec: Spec, settings: Settings) -> list[str]:
    found = [f"pass_env: {name} is not set" for name in spec.pass_env if name not in settings.caller]
    for server in spec.mcp:
        wanted = [*server.pass_env, *([server.token_env] if server.token_env else [])]
        found += [f"mcp {server.name}: {name} is not set" for name in wanted if name not in settings.caller]
    if spec.cassette is not None and spec.provider != "replay":
        found.append(f"cassette: only provider replay plays it, and this run works with {spec.provider}")
    return found
