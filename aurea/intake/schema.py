"""The JSON schema of a spec: for editors, and for `aurea schema spec`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aurea.domain.spec import PROVIDERS, ROLES, WORKERS, Spec
from aurea.domain.template import Template

# What an editor shows beside a key, by the definition it stands in.
DESCRIPTIONS: Mapping[str, Mapping[str, str]] = {
    "Spec": {
        "project": "Name of the project; in aurea.yaml it may be left out for the repository's folder name.",
        "objective": "What you want, in your own words.",
        "provider": "Who answers model calls. Absent: the one provider whose key is set.",
        "model": "Model of every role that names none. Absent: the provider's default.",
        "concurrency": "Work items at work at once.",
        "timeout_s": "Seconds of an attempt's own time: its model calls and tools, not checks or waiting.",
        "run_timeout_s": "Seconds the whole run may take, or `none`.",
        "answer_within_s": "Seconds a person has for an answer, until a question's stated default applies; or `none`.",
        "repo": "Folder of the repository to work on, relative to this file. Absent: a new one at `output_dir`.",
        "output_dir": "Where a new repository is made. Absent: in the run folder.",
        "base": "Branch, tag or commit to start from. Absent: the current branch.",
        "land": "`branch`: the result is the branch aurea/<run>. `target`: the base is moved too.",
        "push": "Remote to push the landed branch to.",
        "acceptance": "What must be true at the end, one sentence each.",
        "setup": "Commands run once in each fresh workspace, before agent and checks. They have the network.",
        "env": "Environment variables for setup, checks and tools.",
        "pass_env": "Names of the caller's environment variables that are let through.",
        "checks": "Commands whose exit status is evidence.",
        "reviewers": "Models that judge each attempt. Absent: one. Empty: none.",
        "approvals": "Where a person is asked: before starting (plan), before the target moves (land).",
        "max_attempts": "Attempts at one item, in all.",
        "review_loops": "Attempts at one item that reviews alone may send back.",
        "budget_usd": "Hard stop for model costs in US dollars, or `none`.",
        "budgets": "More hard stops: of each item, of roles, and of all runs in a day.",
        "roles": "Model per role: `provider:model`, or a mapping.",
        "limits": "What a provider may be asked by all runs of this machine together, by its name.",
        "prices": "What models cost that the price list does not know, or knows otherwise, by `provider:model`.",
        "cache": "Whether answers are kept for later runs, where a role's options pin temperature 0 or a seed.",
        "context": "Tokens that parts of what agents are shown may take, by their names; 0 leaves a part out.",
        "items": "The plan, written by hand. Absent: the planner writes it.",
        "cassette": "Recording that provider `replay` plays, relative to this file.",
        "template": "Where items come from and the line they walk: loop, pipeline, single, one of yours, or its path.",
        "sandbox": "What commands run in.",
        "network": "Network of agents' tools and checks: `none`, `open`, or a list of hosts.",
        "web_search": "Whether researchers may search the web, for themselves and for agents that ask them.",
        "mcp": "MCP servers whose tools agents get.",
        "plugins": "Installed plugins whose tools agents get, by the names of their entry points.",
        "model_headers": "Whether requests to model servers carry X-Aurea headers; `always`: also to public hosts.",
        "stream": "Whether answers are asked for piece by piece; `auto`: of servers that are known to give them so.",
        "commit": "Whose name landing commits carry.",
        "blocks": "Prefect blocks that stand behind this spec, by name. Absent: those named `default`.",
        "unproven": "Says that no check proves the result; only together with `checks: []`.",
    },
    "Check": {
        "name": "Name by which items and logs refer to the check.",
        "run": "The command: a list, or a text that is split as a shell would and given to no shell.",
        "kind": "What the check is about.",
        "timeout_s": "Seconds the command may take.",
        "silence_s": "Seconds the command may print nothing.",
        "cwd": "Folder to run in, relative to the repository's root.",
        "env": "Environment variables of this command, over those of the spec.",
        "when": "Judge the attempt, the merged tree (gate), or both.",
        "exclusive": "Checks that share this name run one at a time.",
    },
    "Reviewer": {
        "role": "The role that reviews.",
        "model": "`provider:model`. Absent: the model of the role.",
        "focus": "What the reviewer looks for.",
    },
    "RoleChoice": {
        "model": "`provider:model`, split at the first colon, or a model of the run's provider.",
        "fallback": "Models to go on with, in this order, when this one has no capacity or its server is down.",
        "options": "Options of the provider, passed through (num_ctx, temperature ...).",
        "tools": "Show the most used tools and let the agent search for the rest (core), or show all of them.",
        "context_tokens": "Tokens that its model takes, prompt and answer together; what is longer is cut.",
        "attempt_tokens": "Tokens that one conversation may use in all, those of every prompt counted.",
        "deny": "Tools that this role does not get, by name.",
    },
    "McpServer": {
        "name": "Short name, with which the names of its tools begin.",
        "command": "Starts the server, which speaks MCP on its standard input and output.",
        "url": "Its address, where it is no command (streamable HTTP).",
        "env": "Environment variables of the command.",
        "pass_env": "Names of the caller's environment variables that the command gets.",
        "token_env": "Name of the caller's variable that is sent to the url as `Authorization: Bearer`.",
        "tools": "Its tools that agents get. Absent: all.",
        "roles": "The roles that get them. Absent: those who carry out items.",
        "effect": "What its tools do: look (read), change what is theirs (write), change or tell others (outside).",
        "timeout_s": "Seconds that its start, and each call, may take.",
    },
    "ProviderLimits": {
        "requests_per_minute": "Requests in any minute.",
        "tokens_per_minute": "Tokens in any minute: the prompt and the longest answer allowed, then what it was.",
        "concurrency": "Calls under way at once.",
    },
    "Budgets": {
        "item_usd": "Hard stop for all calls of each item of this run, in US dollars, or `none`.",
        "day_usd": "Hard stop for all runs of the ledger together since 00:00 UTC, in US dollars, or `none`.",
        "roles": "Hard stops for all calls of a role in this run, by its name.",
        "items": "Hard stops for single items, by their id, instead of `item_usd`.",
    },
    "ModelPrice": {
        "input": "US dollars for a million tokens of the prompt.",
        "output": "US dollars for a million tokens of the answer.",
        "cached_input": "The same for those of the prompt that the provider had cached. Absent: as `input`.",
    },
    "ItemSpec": {
        "id": "Short name: lower-case letters, digits, `_` and `-`.",
        "title": "Title for people. Absent: the id.",
        "goal": "What this item is to achieve.",
        "criteria": "What must be true for it to be done, one sentence each.",
        "files": "Files it is expected to touch; orders and warns, forbids nothing.",
        "depends_on": "Ids of items that must have landed before.",
        "priority": "Higher goes first.",
        "role": "Who does it: one of " + ", ".join(WORKERS) + ".",
        "checks": "Names of the checks that judge it. Absent or empty: all.",
    },
    "BlockNames": {
        "provider": "An aurea-provider block: provider, model and key.",
        "workspace": "An aurea-workspace block: where workspaces lie, sandbox and network.",
        "ledger": "An aurea-ledger block: the database of the ledger.",
        "policy": "An aurea-policy block: defaults for limits and approvals.",
        "notification": "An aurea-notification block: who is told of questions and of the end.",
    },
    "CommitSpec": {"author": "`Name <address>`."},
}

DESCRIPTIONS_OF_TEMPLATE: Mapping[str, str] = {
    "schema": "Always `aurea.template/1`.",
    "description": "What it is for, in one line.",
    "plan": "`planner`: a planner writes the items. Absent: the same, unless there are `items`.",
    "items": "The work items, as in a spec; goal, title and criteria may hold {objective}, {acceptance} and {project}.",
    "line": "The phases of every attempt in order; those of a list in the list work at the same time. Then it lands.",
    "rejected": "Where a failed item goes back to: the plan `after` that many failed attempts, or always `implement`.",
    "reviewers": "The reviewers of specs that name none.",
    "review_loops": "The same as in a spec, for specs that do not say.",
    "max_attempts": "The same as in a spec, for specs that do not say.",
}


def spec_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a spec file, with a description for every key."""
    schema = Spec.model_json_schema()
    for name, texts in DESCRIPTIONS.items():
        properties = (schema if name == "Spec" else schema["$defs"][name])["properties"]
        for key, text in texts.items():
            properties[key] = {**properties[key], "description": text}
            properties[key].pop("title", None)
    properties = schema["properties"]
    properties["task_description"] = {**properties["objective"], "description": "Another name of `objective`."}
    properties["roles"]["propertyNames"] = {"enum": list(ROLES)}
    schema["$defs"]["Budgets"]["properties"]["roles"]["propertyNames"] = {"enum": list(ROLES)}
    properties["template"] = {"type": "string", "default": "loop", "description": properties["template"]["description"]}
    del schema["$defs"]["Route"]
    properties["limits"]["propertyNames"] = {"enum": list(PROVIDERS)}
    schema["$defs"]["ItemSpec"]["properties"]["role"]["enum"] = list(WORKERS)
    schema["required"] = ["project"]
    schema["oneOf"] = [{"required": ["objective"]}, {"required": ["task_description"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Aurea spec",
        "description": "What Aurea is asked to deliver. Keys that are not listed are errors.",
    }


def template_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a template file."""
    schema = Template.model_json_schema()
    for key, text in DESCRIPTIONS_OF_TEMPLATE.items():
        schema["properties"][key] = {**schema["properties"][key], "description": text}
        schema["properties"][key].pop("title", None)
    item = schema["$defs"]["TemplateItem"]["properties"]
    for key, text in DESCRIPTIONS["ItemSpec"].items():
        item[key] = {**item[key], "description": text}
    item["role"]["enum"] = list(WORKERS)
    item["line"]["description"] = "The line of this item alone. Absent: that of the template."
    words = "Where the items of a run come from, and the line that they walk. Keys that are not listed are errors."
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **schema, "title": "Aurea template", "description": words}
