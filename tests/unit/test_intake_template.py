"""Templates as files: found, read, laid under a spec, and every fault told at its place in the template."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurea.domain.plan import problems
from aurea.domain.route import LINE, LOOP, Route
from aurea.domain.spec import ItemSpec, Spec
from aurea.domain.template import UNSAID, Template, filled
from aurea.intake.changes import changes
from aurea.intake.documents import parse
from aurea.intake.faults import Faults, Place, SpecFaults
from aurea.intake.faults import Places as Written
from aurea.intake.layers import Flags
from aurea.intake.resolve import Resolved, Stored, resolve
from aurea.intake.schema import DESCRIPTIONS_OF_TEMPLATE, template_schema
from aurea.intake.template import SHIPPED, Places, lay_template, shipped
from aurea.settings import Settings

HEAD = "project: p\nobjective: A notes service.\nchecks: [{name: tests, run: [pytest]}]\nprovider: ollama\n"
SCHEMA = "schema: aurea.template/1\n"
ITEM = "items:\n  - {id: a, goal: write it, criteria: [it is there]}\n"


def read(folder: Path, spec: str, template: str | None = None, flags: Flags | None = None) -> Resolved:
    """The spec `HEAD` and `spec`, resolved in `folder`, where `template` is `t.yaml`."""
    (folder / "s.yaml").write_text(HEAD + spec)
    if template is not None:
        (folder / "t.yaml").write_text(template)
    return resolve("s.yaml", flags or Flags(), cwd=folder, settings=Settings.read({"HOME": str(folder)}))


def faults(folder: Path, template: str, spec: str = "template: ./t.yaml\n") -> list[str]:
    """What is said about a template."""
    with pytest.raises(SpecFaults) as caught:
        read(folder, spec, template)
    return [str(fault) for fault in caught.value.faults]


def test_the_shipped_ones_are_sound_and_loop_is_what_every_run_does(tmp_path: Path) -> None:
    assert shipped() == ("loop", "pipeline", "single")
    for name in shipped():
        (tmp_path / f"{name}.yaml").write_text((SHIPPED / f"{name}.yaml").read_text())
        spec = read(tmp_path, f"template: ./{name}.yaml\n").spec
        assert spec.route.line == LINE
        assert spec.route.name == name
        assert not problems(spec.items or (), checks=["tests"])
    said = read(tmp_path, "template: ./loop.yaml\n").spec
    assert said.route == LOOP
    assert said.model_copy(update={"template": "loop"}) == read(tmp_path, "").spec, "it says nothing else"


def test_a_spec_without_a_template_keeps_its_digest(tmp_path: Path) -> None:
    plain = read(tmp_path, "")
    assert plain.spec.model_dump(mode="json")["template"] == "loop"
    assert read(tmp_path, "template: loop\n").digest == plain.digest


def test_single_is_the_objective_with_the_acceptance_as_its_criteria(tmp_path: Path) -> None:
    spec = read(tmp_path, "template: single\nacceptance: [POST answers 201, '{project} stays']\n").spec
    assert spec.items is not None
    (item,) = spec.items
    assert (item.id, item.role, item.goal) == ("job", "coder", "A notes service.")
    assert item.criteria == ("POST answers 201", "{project} stays"), "what a user wrote is no placeholder"
    assert spec.route.replan_after is None
    bare = read(tmp_path, "template: single\n").spec
    assert bare.items is not None and bare.items[0].criteria == (UNSAID,)


def test_pipeline_is_a_graph_of_four_roles(tmp_path: Path) -> None:
    spec = read(tmp_path, "template: pipeline\nacceptance: [POST answers 201, GET answers 200]\n").spec
    graph = {item.id: (item.role, item.depends_on) for item in spec.items or ()}
    assert graph == {
        "architect": ("architect", ()),
        "builder": ("builder", ("architect",)),
        "docs": ("docs", ("architect",)),
        "qa": ("tester", ("builder", "docs")),
    }
    qa = (spec.items or ())[-1]
    assert qa.criteria[:2] == ("POST answers 201", "GET answers 200")
    assert "- POST answers 201\n- GET answers 200" in qa.goal


def test_a_local_one_is_found_by_its_path_from_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "t.yaml").write_text(
        SCHEMA + "line: [implement, review_precheck, check]\nrejected: {to: plan, after: 3, on_request: true}\n"
        "reviewers: []\nreview_loops: 1\nmax_attempts: 4\n"
    )
    (tmp_path / "shop" / "s.yaml").write_text(HEAD + "template: ./t.yaml\nmax_attempts: 7\n")
    settings = Settings.read({"HOME": str(tmp_path)})
    spec = resolve("shop/s.yaml", Flags(), cwd=tmp_path, settings=settings).spec
    assert spec.route == Route(
        name="t", line=(("implement",), ("review_precheck",), ("check",)), replan_after=3, on_request=True
    )
    assert (spec.reviewers, spec.review_loops) == ((), 1)
    assert spec.max_attempts == 7, "the spec goes first"
    assert spec.items is None


def test_a_template_goes_before_what_is_stored_and_a_spec_before_both(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(SCHEMA + "max_attempts: 4\nreview_loops: 1\n")
    (tmp_path / "s.yaml").write_text(HEAD + "template: ./t.yaml\nreview_loops: 2\n")
    stored = Stored({"aurea-policy/night": {"max_attempts": 9, "review_loops": 8, "concurrency": 7}})
    settings = Settings.read({"HOME": str(tmp_path)})
    spec = resolve("s.yaml", Flags(), cwd=tmp_path, settings=settings, stored=stored).spec
    assert (spec.max_attempts, spec.review_loops, spec.concurrency) == (4, 2, 7)


def test_a_local_one_is_found_by_its_name_in_the_repository(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path / "repo"], check=True)
    own = tmp_path / "repo" / ".aurea" / "templates"
    own.mkdir(parents=True)
    (own / "ours.yaml").write_text(
        SCHEMA + ITEM + "    line: [implement, check, review_precheck]\n".replace("    ", "")
    )
    spec = read(tmp_path, "repo: ./repo\ntemplate: ours\n").spec
    assert spec.route.name == "ours"
    assert spec.route.line_of("a") == (("implement",), ("check",), ("review_precheck",))
    with pytest.raises(SpecFaults, match=r"unknown template 'our'; there are loop, .*ours; .*did you mean 'ours'"):
        read(tmp_path, "repo: ./repo\ntemplate: our\n")
    (own / "single.yaml").write_text(SCHEMA + ITEM)
    with pytest.raises(SpecFaults, match=r"repo/.aurea/templates/single.yaml' has the name of a shipped template"):
        read(tmp_path, "repo: ./repo\ntemplate: single\n")
    assert read(tmp_path, "repo: ./repo\n").spec.template == "loop"


def test_the_digest_follows_what_the_template_says(tmp_path: Path) -> None:
    first = read(tmp_path, "template: ./t.yaml\n", SCHEMA + ITEM).digest
    assert read(tmp_path, "template: ./t.yaml\n", SCHEMA + ITEM).digest == first
    changed = SCHEMA + ITEM.replace("write it", "write it well")
    assert read(tmp_path, "template: ./t.yaml\n", changed).digest != first
    walked = SCHEMA + ITEM + "line: [implement, check, review_precheck]\n"
    assert read(tmp_path, "template: ./t.yaml\n", walked).digest != first


def test_what_was_resolved_needs_no_file_any_more(tmp_path: Path) -> None:
    spec = read(tmp_path, "template: ./t.yaml\n", SCHEMA + ITEM + "line: [implement, check, review_precheck]\n").spec
    (tmp_path / "t.yaml").unlink()
    assert Spec.model_validate(spec.model_dump(mode="json")) == spec
    assert changes(spec, Flags(sets=("concurrency=2",)), tmp_path) == {"concurrency": 2}
    with pytest.raises(SpecFaults, match="template: cannot change in the middle of a run"):
        changes(spec, Flags(sets=("template=single",)), tmp_path)


def test_an_item_may_have_a_line_of_its_own(tmp_path: Path) -> None:
    own = "  - {id: b, goal: note it, criteria: [noted], line: [implement, [check, review_precheck]]}\n"
    spec = read(tmp_path, "template: ./t.yaml\n", SCHEMA + ITEM + own).spec
    assert spec.route.line_of("a") == LINE
    assert spec.route.line_of("b") == LINE[:2]


FAULTY = [
    ("description: x\n", ["t.yaml:1:1: schema: required, and not given"]),
    ("schema: aurea.template/2\n", ["t.yaml:1:9: schema: must be `aurea.template/1`; did you mean 'aurea.template/1'?"]),
    (SCHEMA + "lines: []\n", ["t.yaml:2:1: lines: unknown key 'lines'; did you mean 'line'?"]),
    (SCHEMA + "line: implement\n", ["t.yaml:2:7: line: must be a list of phases"]),
    (
        SCHEMA + "line: [implement, [check, reviw], [], land]\n",
        [
            "t.yaml:2:7: line: `review_precheck` is missing: nothing may land without it",
            "t.yaml:2:27: line.1.1: unknown phase 'reviw'; the phases are implement, check, review_precheck, review; did",
            "t.yaml:2:35: line.2: must not be empty",
            "t.yaml:2:39: line.3: `land` always comes last; leave it out",
        ],
    ),
    (
        SCHEMA + "line: [check, [implement, review_precheck], check]\n",
        [
            "t.yaml:2:8: line.0: a line begins with `implement`, which stands alone",
            "t.yaml:2:16: line.1.0: `implement` stands alone, at first",
            "t.yaml:2:45: line.2: the phase `check` stands here twice",
        ],
    ),
    (SCHEMA + "plan: me\n", ["t.yaml:2:7: plan: must be `planner`, not 'me'"]),
    (SCHEMA + "plan: planner\n" + ITEM, ["t.yaml:2:1: plan: a template has `items`, or a planner who writes them"]),
    (SCHEMA + "rejected: {to: plan}\n" + ITEM, ["t.yaml:2:11: rejected: no planner wrote the items of this template"]),
    (SCHEMA + "rejected: {too: plan}\n", ["t.yaml:2:12: rejected.too: unknown key 'too'; did you mean 'to'?"]),
    (SCHEMA + "rejected: {to: implement, after: 2}\n", ["t.yaml:2:27: rejected.after: `after` goes only together with"]),
    (SCHEMA + "rejected: {after: 0}\n", ["t.yaml:2:19: rejected.after: must be at least 1, not 0"]),
    (SCHEMA + "max_attempts: many\n", ["t.yaml:2:15: max_attempts: must be a whole number, not 'many'"]),
    (SCHEMA + "reviewers: [{focs: x}]\n", ["t.yaml:2:14: reviewers.0.focs: unknown key 'focs'; did you mean 'focus'?"]),
    (SCHEMA + "items: []\n", ["t.yaml:2:8: items: an empty list of items"]),
    (SCHEMA + "items: a\n", ["t.yaml:2:8: items: must be a list, not 'a'"]),
    (
        SCHEMA + "items:\n  - {id: a, goal: '{objektive}', criteria: [x], role: codr, depends_on: [b]}\n"
        "  - {id: b, gaol: y, criteria: ['{it}'], depends_on: [a]}\n",
        [
            "t.yaml:3:19: items.0.goal: {objektive} stands for nothing; write {{objektive}} where the text itself is m",
            "t.yaml:3:55: items.0.role: item 'a' names the unknown role 'codr'",
            "t.yaml:3:74: items.0.depends_on.0: the dependencies form a cycle: ",
            "t.yaml:4:5: items.1.goal: required, and not given",
            "t.yaml:4:13: items.1.gaol: unknown key 'gaol'; did you mean 'goal'?",
            "t.yaml:4:33: items.1.criteria.0: {it} stands for nothing",
        ],
    ),
    (
        SCHEMA + "items:\n  - {id: a, goal: g, criteria: [c], checks: [lint], line: [implement]}\n",
        [
            "t.yaml:3:46: items.0.checks.0: item 'a' names the unknown check 'lint'; the checks are tests",
            "t.yaml:3:59: items.0.line: `check` is missing",
            "t.yaml:3:59: items.0.line: `review_precheck` is missing",
        ],
    ),
    ("- a\n", ["t.yaml:1:1: $: a template is a mapping of keys to values, this is a list"]),
    (SCHEMA + "line: [implement\n", ["t.yaml:2:7: line.0: a bracket is opened here"]),
]  # fmt: skip


@pytest.mark.parametrize(("template", "told"), FAULTY, ids=[told[0].split(": ", 1)[1][:40] for _, told in FAULTY])
def test_a_faulty_template(template: str, told: list[str], tmp_path: Path) -> None:
    found = faults(tmp_path, template)
    assert len(found) == len(told), found
    for fault, words in zip(found, told, strict=True):
        assert fault.startswith(words)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("template: ./none.yaml\n", "s.yaml:5:11: template: cannot read the template none.yaml: no such file"),
        ("template: 5\n", "s.yaml:5:11: template: must be the name of a template, or the path of a file"),
        ("template: {line: []}\n", "s.yaml:5:11: template: must be the name of a template"),
        (
            "template: piepline\n",
            "s.yaml:5:11: template: unknown template 'piepline'; there are loop, pipeline, single;",
        ),
        (
            "template: pipeline\nitems: [{id: a, goal: b, criteria: [c]}]\n",
            "s.yaml:6:1: items: the template 'pipeline' brings its own items; take these away",
        ),
    ],
)
def test_what_a_spec_says_wrongly_of_its_template(spec: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SpecFaults) as caught:
        read(tmp_path, spec)
    (fault,) = caught.value.faults
    assert str(fault).startswith(told)


def test_faults_of_spec_and_template_are_told_together(tmp_path: Path) -> None:
    found = faults(tmp_path, SCHEMA + "line: []\n", "template: ./t.yaml\nconcurrency: 0\n")
    assert [fault.split(": ")[0] for fault in found] == ["s.yaml:6:14", "t.yaml:2:7", "t.yaml:2:7"]


def test_braces_that_stand_for_nothing_known_can_be_written() -> None:
    assert filled("{objective} {{objective}} {x: 1} {} {{a b}}", {"objective": "{project}"}) == (
        "{project} {objective} {x: 1} {} {{a b}}"
    )


def test_the_schema_explains_every_key_and_knows_the_shipped_ones() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    names = {field.alias or name for name, field in Template.model_fields.items()}
    assert set(DESCRIPTIONS_OF_TEMPLATE) == names
    schema = template_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["$defs"]["TemplateItem"]["properties"]) == {*ItemSpec.model_fields, "line"}
    for file in SHIPPED.glob("*.yaml"):
        jsonschema.validate(parse(file.read_bytes(), file.name).data, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": "aurea.template/1", "lines": []}, schema)


WORDS = st.sampled_from(
    ["schema", "aurea.template/1", "items", "id", "a", "b", "goal", "criteria", "line", "implement", "check", "plan",
     "review_precheck", "review", "rejected", "to", "after", "depends_on", "role", "coder", "{objective}", "{x}",
     "{acceptance}", "reviewers", "max_attempts", "", "planner"]
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(WORDS, st.none(), st.booleans(), st.integers(-3, 9), st.floats(allow_nan=True)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=5)),
    max_leaves=20,
)
TEMPLATES = st.fixed_dictionaries(
    {},
    optional={
        "schema": st.just("aurea.template/1"), "line": VALUES, "items": VALUES, "plan": VALUES, "rejected": VALUES,
        "reviewers": VALUES, "review_loops": VALUES, "max_attempts": VALUES, "description": VALUES, "other": VALUES,
    },
)  # fmt: skip


@given(template=st.one_of(TEMPLATES, VALUES), acceptance=VALUES)
def test_whatever_stands_in_a_template_is_sound_or_told(template: Any, acceptance: Any, tmp_path_factory: Any) -> None:
    import json

    folder = tmp_path_factory.getbasetemp()
    (folder / "any.json").write_text(json.dumps(template))
    data = {"template": str(folder / "any.json"), "objective": "o", "acceptance": acceptance}
    found = Faults(Written(Place("spec")))
    lay_template(data, found, Places(folder, None))
    assert all(fault.message and fault.file in ("any.json", "spec") for fault in found.found)
    if not found.found:
        Route.model_validate(data["template"])


@given(text=st.text(max_size=200))
def test_whatever_text_a_template_is_it_is_sound_or_told(text: str, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "any.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    found = Faults(Written(Place("spec")))
    lay_template({"template": str(folder / "any.yaml"), "objective": "o"}, found, Places(folder, None))
    assert found.found, "no text that says nothing of a schema is a template"
