"""Replies as weak models give them, with the calls that were meant: shared by the tests and the benchmark of mending."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aurea.domain.messages import ModelReply, ToolCall

READ = ("read_file", {"path": "notes/app.py"})
WRITE = ("write_file", {"path": "notes/app.py", "content": 'print("hi")\n'})
RESULT = {"summary": "storage works", "approach": "one table"}


@dataclass(frozen=True)
class Weak:
    """One way to get it wrong. `meant` None: nobody can tell, so the model has to be asked again."""

    shape: str
    reply: ModelReply
    meant: list[tuple[str, dict[str, Any]]] | None


def said(text: str, finish: str = "stop") -> ModelReply:
    return ModelReply.model_validate({"text": text, "finish": finish})


def made(*calls: tuple[str, Any], finish: str = "tool_calls") -> ModelReply:
    tools = tuple(ToolCall(id=f"c{n}", name=name, arguments=said) for n, (name, said) in enumerate(calls, 1))
    return ModelReply.model_validate({"calls": tools, "finish": finish})


def as_json(call: tuple[str, dict[str, Any]], **more: Any) -> str:
    return json.dumps({"name": call[0], "arguments": call[1], **more})


SHAPES = [
    Weak("call as bare JSON text", said(as_json(READ)), [READ]),
    Weak("call in a fence, after words", said(f"I will read it first.\n\n```json\n{as_json(READ)}\n```"), [READ]),
    Weak("<tool_call> tags", said(f"Let me see.\n<tool_call>\n{as_json(WRITE)}\n</tool_call>"), [WRITE]),
    Weak("<tool_call> left open", said(f"<tool_call>\n{as_json(READ)}"), [READ]),
    Weak(
        "<function=...> with parameters",
        said("<function=write_file>\n<parameter=path>\nnotes/app.py\n</parameter>\n<parameter=content>\nx = 1\n\n"
             "</parameter>\n</function>"),
        [("write_file", {"path": "notes/app.py", "content": "x = 1\n"})],
    ),
    Weak("<function=...> with JSON", said('<function=read_file>{"path": "notes/app.py"}</function>'), [READ]),
    Weak("<think> before it", said(f"<think>I could call\n{as_json(WRITE)}\nfirst.</think>\n{as_json(READ)}"), [READ]),
    Weak("end of thought only", said(f"hm, so\n</think>\n\n{as_json(READ)}"), [READ]),
    Weak("trailing commas", made(("read_file", '{"path": "notes/app.py",}')), [READ]),
    Weak("single quotes", made(("write_file", "{'path': 'a', 'content': 'say \"hi\"'}")),
         [("write_file", {"path": "a", "content": 'say "hi"'})]),
    Weak("Python's words", made(("search_codebase", "{'pattern': 'x', 'path': None}")),
         [("search_codebase", {"pattern": "x"})]),
    Weak("odd escapes", made(("search_codebase", r'{"pattern": "\d+\.\s"}')),
         [("search_codebase", {"pattern": r"\d+\.\s"})]),
    Weak("names without quotes", made(("read_file", "{path: notes/app.py, limit: 3}")),
         [("read_file", {"path": "notes/app.py", "limit": 3})]),
    Weak("two calls glued together", made(("read_file", '{"path": "a"}{"path": "b"}')),
         [("read_file", {"path": "a"}), ("read_file", {"path": "b"})]),
    Weak("two calls glued, names too", made(("read_fileread_file", '{"path": "a"}\n{"path": "b"}')),
         [("read_file", {"path": "a"}), ("read_file", {"path": "b"})]),
    Weak("the same arguments twice", made(("write_file", json.dumps(WRITE[1]) * 2)), [WRITE]),
    Weak("two calls as text", said(f"{as_json(READ)}\n{as_json(WRITE)}"), [READ, WRITE]),
    Weak("JSON within JSON", made(("write_file", json.dumps(json.dumps(WRITE[1])))), [WRITE]),
    Weak("arguments as JSON text in the text", said(json.dumps({"name": "read_file", "arguments": '{"path": "a"}'})),
         [("read_file", {"path": "a"})]),
    Weak('"3" for a number', made(("read_file", {"path": "a", "limit": "3", "offset": "2.0"})),
         [("read_file", {"path": "a", "limit": "3", "offset": "2.0"})]),
    Weak('"3" for a number in words', made(("read_file", {"path": 7, "limit": "3"})),
         [("read_file", {"path": "7", "limit": 3})]),
    Weak("one text for a list", made(("submit_report", {**RESULT, "files": "a.py"})),
         [("submit_report", {**RESULT, "files": "a.py"})]),
    Weak("nothing where nothing is needed", made(("read_file", {"path": "a", "limit": None})),
         [("read_file", {"path": "a"})]),
    Weak("arguments wrapped once more", made(("read_file", {"arguments": {"path": "a"}})),
         [("read_file", {"path": "a"})]),
    Weak("a name with a prefix", made(("functions.read_file", {"path": "a"})), [("read_file", {"path": "a"})]),
    Weak("a name with a channel", made(("read_file<|channel|>commentary", {"path": "a"})),
         [("read_file", {"path": "a"})]),
    Weak("the result as a plain object", said(f"```json\n{json.dumps(RESULT)}\n```"), [("submit_report", RESULT)]),
    Weak("a list in some server's wrapping", said(json.dumps({"tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a"}'}}]})),
         [("read_file", {"path": "a"})]),
    Weak("named by its only key", said(json.dumps({"read_file": {"path": "a"}})), [("read_file", {"path": "a"})]),
    Weak("Action and Action Input", said('Thought: look\nAction: read_file\nAction Input: {"path": "a"}\nObservation: x = 1'),
         [("read_file", {"path": "a"})]),
    Weak("Python call", said('read_file(path="a", limit=3)'), [("read_file", {"path": "a", "limit": 3})]),
    Weak("an answer made up behind it", said(f"<tool_call>{as_json(READ)}</tool_call>\n<tool_response>x</tool_response>"),
         [READ]),
    # What has to be asked again.
    Weak("prose", said("I have read the file and everything is fine."), None),
    Weak("prose that mentions a tool", said("Use `read_file` with {\"path\": \"a\"} to see it, then go on."), None),
    Weak("an example of a call", said(f"For example, one could call:\n{as_json(WRITE)}"), None),
    Weak("a call with words behind it", said(f"{as_json(WRITE)}\nis what I would never do."), None),
    Weak("an unknown tool", said('{"name": "format_disk", "arguments": {}}'), None),
    Weak("a call without what it needs", said('{"name": "write_file", "arguments": {"path": "a"}}'), None),
    Weak("cut off by the limit", said(as_json(WRITE), "length"), None),
    Weak("cut off in the arguments", made(("write_file", '{"path": "a", "content": "x = ')), None),
    Weak("cut off but closed", made(("write_file", '{"path": "a", "content": "x"'), finish="length"), None),
    Weak("quotes within what is written", made(("write_file", '{"path": "a", "content": "say "hi" to"}')), None),
    Weak("a word that is no choice", made(("submit_report", {**RESULT, "criteria": [{"met": "perhaps"}]})), None),
    Weak("an answer without anything", said(""), None),
]  # fmt: skip
