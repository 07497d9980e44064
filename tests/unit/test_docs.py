"""The documents say what is there: every key of a spec with its default, every option of every command, every link."""

from __future__ import annotations

import inspect
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from ruamel.yaml import YAML

from aurea.domain.spec import Check, ItemSpec, Spec
from aurea.intake.layers import Flags
from aurea.intake.resolve import resolve
from aurea.intake.rules import _LATER, _LATER_UNLESS_EMPTY
from aurea.reporting.quality.suite import read_suite
from aurea.reporting.quality.tables import COLUMNS, EXTRA, OWN
from aurea.settings import Settings
from surfaces.cli.app import COMMANDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def section(document: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level = heading.partition(" ")[0]
    found = re.search(
        rf"^{re.escape(heading)}\b.*?$(.*?)(?=^#{{1,{len(level)}}} |\Z)", document, re.MULTILINE | re.DOTALL
    )
    assert found, heading
    return found[1]


def rows(document: str) -> dict[str, str]:
    """Names in the first column of the tables, each with the last cell of its row."""
    found = {}
    for line in document.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            found.update(dict.fromkeys(re.findall(r"`([a-z_]+)`", cells[0]), cells[-1].strip(" |")))
    return found


@pytest.mark.parametrize(
    ("heading", "model"), [("## Keys", Spec), ("### A check", Check), ("### An item", ItemSpec)], ids=str
)
def test_every_key_stands_in_its_table_with_its_default(heading: str, model: type[BaseModel]) -> None:
    part = section(text("spec.md"), heading).partition("\n###")[0]
    told = rows(part)
    assert set(told) == set(model.model_fields)
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if told[name] == "off":
            assert not default, name
        elif default is PydanticUndefined:
            assert told[name].startswith("required"), name
        elif default is None:
            assert not told[name].startswith("`"), name
        elif isinstance(default, str | int | float) and default != "":
            shown = (
                json.dumps(default)
                if isinstance(default, bool)
                else f"{default:g}"
                if isinstance(default, float)
                else default
            )
            assert f"`{shown}`" in told[name], name


def test_the_example_of_the_spec_page_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", text("spec.md"), re.DOTALL)
    (tmp_path / "spec.yaml").write_text(block)
    resolved = resolve(Path("spec.yaml"), Flags(), cwd=tmp_path, settings=Settings.read({"HOME": "/nowhere"}))
    assert [item.id for item in resolved.spec.items or ()] == ["search", "route"]


def test_what_is_not_available_yet_is_told() -> None:
    told = section(text("spec.md"), "## Not available yet")
    for key, values in _LATER.items():
        for value in values:
            assert f"`{key}: {value}`" in told or (value is True and f"`{key}`" in told), key
    assert all(f"`{key}`" in told for key in _LATER_UNLESS_EMPTY)


def options(command: str) -> set[str]:
    """The long options of a command, as its function declares them."""
    module, _, name = COMMANDS[command][0].partition(":")
    hints = inspect.signature(function := getattr(import_module(module), name), eval_str=True)
    found = set()
    for parameter in hints.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY or (parameter.kind is parameter.POSITIONAL_OR_KEYWORD):
            named = [n for note in getattr(parameter.annotation, "__metadata__", ()) for n in note.name or ()]
            found |= {n for n in named if n.startswith("--")} or {"--" + parameter.name.strip("_").replace("_", "-")}
    assert function.__doc__
    return found


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "logs"])
def test_every_option_of_a_command_stands_in_its_table(command: str) -> None:
    part = section(text("commands.md"), f"## aurea {command}")
    first_cells = "\n".join(line.split(" | ")[0] for line in part.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"--[a-z-]+", first_cells)) == options(command)


def test_the_run_folder_page_names_what_there_is() -> None:
    page = text("run-folder.md")
    for name in (
        "manifest.json",
        "events.jsonl",
        "inputs/",
        "outputs/",
        "conversation.jsonl",
        "resolved.json",
        "report.md",
    ):
        assert name in page


def test_links_between_the_documents_lead_somewhere() -> None:
    pages = [*DOCS.glob("*.md"), *ROOT.glob("*.md")]
    assert len(pages) > 8
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), (page.name, target)


def test_yaml_in_the_documents_can_be_read() -> None:
    def blocks(name: str) -> Any:
        for block in re.findall(r"```yaml\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL):
            yield from YAML(typ="safe", pure=True).load_all(block)

    for name in ("README.md", "docs/spec.md", "docs/providers.md"):
        assert all(isinstance(document, dict) for document in blocks(name))


def test_every_table_and_extra_column_of_the_quality_gate_is_told() -> None:
    document = text("quality.md")
    assert {name for name in COLUMNS if f"| `{name}` |" in section(document, "## What is expected")} == set(COLUMNS)
    columns = document.partition("Columns:")[2]
    for name, more in {**EXTRA, **OWN}.items():
        row = next(line for line in columns.splitlines() if line.startswith(f"| `{name}` |"))
        assert set(re.findall(r"`([a-z0-9_]+)`", row)) >= set(more)


def test_the_suite_in_the_document_can_be_used() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", text("quality.md"), re.DOTALL)
    assert [entry.severity for entry in read_suite(YAML(typ="safe").load(shown), "shown")] == ["critical", "warning"]
