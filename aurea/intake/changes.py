"""What `resume` may change of a run's spec: checked like a spec, and refused where it would change what is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from aurea.domain.spec import Spec
from aurea.intake.faults import Faults, Place, Places, did_you_mean
from aurea.intake.layers import Flags, Layer, from_flags, merge
from aurea.intake.providers import DEFAULT_MODELS
from aurea.intake.rules import look_across, look_ahead
from aurea.intake.wording import tell

CHANGEABLE = (
    "concurrency",
    "budget_usd",
    "budgets",
    "provider",
    "model",
    "roles",
    "limits",
    "cache",
    "context",
    "prices",
    "stream",
    "timeout_s",
    "run_timeout_s",
    "answer_within_s",
    "max_attempts",
    "review_loops",
)
# Of a check only how long it may take: what it proves stays.
CHANGEABLE_OF_CHECKS = ("timeout_s", "silence_s")


def changes(spec: Spec, flags: Flags, cwd: Path) -> dict[str, Any]:
    """The top-level keys of `spec` that `flags` change, with their new values as JSON values.

    Another provider brings its default model along where no model is named. `SpecFaults` where a key cannot change in
    the middle of a run or its value is wrong; every fault names its flag.
    """
    faults = Faults(Places(Place("the run's spec")))
    said = from_flags(flags, cwd, faults)
    _refuse_fixed(said, faults)
    before = spec.model_dump(mode="json")
    if said.data.get("provider") in DEFAULT_MODELS and said.data["provider"] != spec.provider:
        said.data.setdefault("model", DEFAULT_MODELS[said.data["provider"]])
    data = merge([said, Layer(dict(before), Places(faults.places.root))], faults)
    look_across(data, faults)
    look_ahead(data, faults)
    try:
        after = Spec.model_validate(data).model_dump(mode="json")
    except ValidationError as wrong:
        tell(wrong.errors(include_url=False), data, faults)
    faults.stop()
    # Keys that came later are left out where they stand at their default.
    fields = {key: Spec.model_fields[key] for key in before.keys() ^ after.keys()}
    usual = {key: to_jsonable_python(field.get_default(call_default_factory=True)) for key, field in fields.items()}
    before, after = {**usual, **before}, {**usual, **after}
    return {key: value for key, value in after.items() if value != before[key]}


def _refuse_fixed(said: Layer, faults: Faults) -> None:
    named = [((key,), said.places.of((key,))) for key in said.data] + [(path, place) for path, _, place in said.deep]
    for path, place in named:
        timing = path[0] == "checks" and len(path) == 3 and path[2] in CHANGEABLE_OF_CHECKS
        if path[0] not in CHANGEABLE and not timing:
            words = f"cannot change in the middle of a run; what can: {', '.join(CHANGEABLE)}, and timeouts of checks"
            faults.put(place, path, words + did_you_mean(path[0], CHANGEABLE))
