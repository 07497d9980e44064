"""What agents are shown of the code: what their work builds on, the files it expects, and a map of the rest. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aurea.agents.codemap.focus import is_test, matching
from aurea.agents.codemap.outline import mapped, outline, shown
from aurea.agents.codemap.rank import Ranked
from aurea.agents.parts import CHARS, FENCE, Budgets, Part, untrusted
from aurea.domain.spec import ItemSpec
from aurea.ports import Code

MOST_FILES = 20  # expected files that are there, of which more than the name is shown
PLANNERS = 1.5  # how much more of the map a planner is shown, who knows no file yet


@dataclass(frozen=True)
class Surroundings:
    """The code around a piece of work, at the commit that it begins on.

    `ranked` orders `code` for the work; `contents` are texts of files that it expects to change; `built_on` the files
    that the items it depends on have landed, by item.
    """

    code: Code = field(default_factory=Code)
    ranked: Ranked = field(default_factory=lambda: Ranked({}, {}))
    contents: Mapping[str, str] = field(default_factory=dict)
    built_on: Mapping[str, Sequence[str]] = field(default_factory=dict)


NOWHERE = Surroundings()


def expected(item: ItemSpec, code: Code) -> list[str]:
    """The files that `item` names and that are there, in its order."""
    paths = sorted((*(file.path for file in code.files), *code.others))
    return matching(item.files, paths)[:MOST_FILES]


def code_parts(item: ItemSpec, around: Surroundings, room: Budgets) -> tuple[Part, Part, Part]:
    """The parts `contracts`, `relevant` and `map` for an agent that works on `item`, each file in one of them."""
    own = expected(item, around.code)
    frozen = _frozen(own, around) if room["contracts"] else {}
    leave_out = {path for text in frozen.values() for path in text}
    if room["relevant"]:
        leave_out |= {*own}
    return (
        room.part("contracts", "What this item builds on", _contracts(frozen, room)),
        room.part("relevant", "The expected files as they are", _relevant(own, around, room)),
        map_part(around, room, leave_out=leave_out),
    )


def map_part(
    around: Surroundings, room: Budgets, *, leave_out: set[str] | frozenset[str] = frozenset(), planner: bool = False
) -> Part:
    """The part `map`: files and definitions by what they matter for the work. A planner has all paths in another part."""
    budget = int(room["map"] * (PLANNERS if planner else 1))
    inside = budget * CHARS - FENCE
    text = mapped(around.code, around.ranked, inside, leave_out=leave_out, others=not planner) if budget else ""
    told = ""
    if text:
        told = "What matters most for this, with lines of definitions; it is not the whole repository.\n" + untrusted(
            "map of the repository", text, inside
        )
    return Budgets(map=budget).part("map", "Map of the repository", told)


def _frozen(own: Sequence[str], around: Surroundings) -> dict[str, dict[str, str]]:
    """By item, the outlines of the files that it landed, by path: without tests, and what this item is to change."""
    by_path = {file.path: file for file in around.code.files}
    there = {*by_path, *around.code.others}
    found: dict[str, dict[str, str]] = {}
    told: set[str] = set(own)
    for item, paths in around.built_on.items():
        for path in sorted(paths):
            if path in there and path not in told and not is_test(path):
                told.add(path)
                file = by_path.get(path)
                text = outline(file, 1_500) if file is not None else shown(path, ())
                found.setdefault(item, {})[path] = text
    return found


def _contracts(frozen: Mapping[str, Mapping[str, str]], room: Budgets) -> str:
    if not frozen:
        return ""
    left = room.inside("contracts")
    lines: list[str] = []
    for item, outlines in frozen.items():
        lines.append(f"landed by {item}:")
        for path, outlined in outlines.items():
            text = outlined if len(outlined) <= left else path
            left -= len(text) + 1
            lines.append(text)
    return (
        "Items that this one depends on have landed these files; other items build on them too. Use them as they are: "
        "do not change what they define unless this item asks for it.\n"
        + untrusted("files landed by other items", "\n".join(lines), room.inside("contracts"))
    )


def _relevant(own: Sequence[str], around: Surroundings, room: Budgets) -> str:
    """Whole contents as far as they fit, then outlines, then names."""
    if not own or not room["relevant"]:
        return ""
    by_path = {file.path: file for file in around.code.files}
    left = room.inside("relevant") - sum(len(path) + 20 for path in own)
    blocks: list[str] = []
    for path in own:
        content = around.contents.get(path)
        text = path
        if content is not None and len(content) <= left:
            text = f"--- {path}\n{content.rstrip()}" if content.strip() else f"{path} is empty"
        elif path in by_path:
            text = outline(by_path[path], left)
        left -= len(text) - len(path)
        blocks.append(text)
    return "As they were when this attempt began, whole or in outline; read_file shows the rest.\n" + untrusted(
        "expected files", "\n".join(blocks), room.inside("relevant")
    )
