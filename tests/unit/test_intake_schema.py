"""The JSON schema says what the model says, and explains every key."""

from __future__ import annotations

from typing import Any

import pytest

from aurea.domain.spec import (
    Check,
    CommitSpec,
    ItemSpec,
    McpServer,
    ModelPrice,
    ProviderLimits,
    Reviewer,
    RoleChoice,
    Spec,
)
from aurea.intake.schema import DESCRIPTIONS, spec_schema

jsonschema = pytest.importorskip("jsonschema")

GOOD: dict[str, Any] = {
    "project": "p",
    "objective": "o",
    "checks": [{"name": "tests", "run": "pytest -q", "env": {"A": "1"}}],
    "setup": [["npm", "ci"], "npm run build"],
    "roles": {"coder": "openai:x", "planner": {"model": "openai:y", "options": {"n": 1}}},
    "budget_usd": "none",
    "limits": {"openai": {"requests_per_minute": 60}},
    "cache": True,
    "items": [{"id": "a", "goal": "x", "criteria": ["c"]}],
    "provider": None,
    "model_headers": "always",
    "stream": True,
}


def test_every_key_is_explained() -> None:
    for model in (Spec, Check, Reviewer, RoleChoice, ProviderLimits, ModelPrice, ItemSpec, McpServer, CommitSpec):
        assert set(DESCRIPTIONS[model.__name__]) == set(model.model_fields)
    schema = spec_schema()
    assert all("description" in each for each in schema["properties"].values())


def test_it_is_a_schema_and_knows_a_good_spec() -> None:
    schema = spec_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(GOOD, schema)
    other = {key: value for key, value in GOOD.items() if key != "objective"} | {"task_description": "o"}
    jsonschema.validate(other, schema)


@pytest.mark.parametrize(
    "change",
    [
        {"objectiv": "x"},
        {"task_description": "x"},
        {"concurrency": 0},
        {"land": "nowhere"},
        {"roles": {"codr": "x"}},
        {"limits": {"opnai": {"concurrency": 2}}},
        {"limits": {"openai": {"requests_per_minute": 0}}},
        {"items": [{"id": "A", "goal": "x"}]},
        {"items": [{"id": "a", "goal": "x", "role": "boss"}]},
        {"checks": [{"name": "a"}]},
        {"project": "two words"},
    ],
)
def test_it_refuses_what_the_model_refuses(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(GOOD | change, spec_schema())
