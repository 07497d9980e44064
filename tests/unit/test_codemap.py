"""The repository map: what matters for a piece of work comes first, within its room, the same every time."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from aurea.agents.codemap.focus import Focus, pieces, stands_for
from aurea.agents.codemap.links import link
from aurea.agents.codemap.outline import mapped, outline
from aurea.agents.codemap.rank import pagerank, rank
from aurea.domain.spec import ItemSpec
from aurea.ports import Code, Definition, SourceFile


def file(
    path: str, defines: Sequence[str] = (), uses: Sequence[str] = (), imports: Sequence[str] = (), family="python"
):
    """`defines` as `Name` for a type, `.name` for a method of the one before, `name` for a function."""
    definitions = []
    for line, name in enumerate(defines, start=1):
        plain = name.removeprefix(".")
        kind = "type" if plain[0].isupper() else "function"
        definitions.append(Definition(plain, kind, line, int(name != plain), f"{kind} {plain}"))
    return SourceFile(path, family, tuple(definitions), dict.fromkeys(uses, 1), tuple(imports))


SHOP = Code(
    files=(
        file("shop/basket.py", ["Basket", ".add", ".total"], ["Price", "tax_of"], ["shop/money", "shop/tax"]),
        file("shop/money.py", ["Price", ".plus"], ["ShopError"], ["shop/errors"]),
        file("shop/tax.py", ["tax_of", "_table"], ["Price"], ["shop/money"]),
        file("shop/errors.py", ["ShopError", "Missing"]),
        file("shop/mail.py", ["send", "render"], ["ShopError"], ["shop/errors"]),
        file(
            "shop/web/app.py",
            ["checkout"],
            ["Basket", "send", "ShopError"],
            ["shop/basket", "shop/mail", "shop/errors"],
        ),
        file("shop/stock.py", ["Stock", ".take"], ["ShopError", "Missing"], ["shop/errors"]),
        file("tests/test_basket.py", ["test_total_with_tax"], ["Basket"], ["shop/basket"]),
    ),
    others=("README.md", "docs/a.md", "docs/b.md"),
)


def order(code: Code, focus: Focus, room: int = 8000, **more) -> list[str]:
    text = mapped(code, rank(code, focus), room, **more)
    return [line for line in text.split("\n") if line and not line.startswith(" ") and line.endswith(".py")]


def test_what_the_work_names_builds_on_and_speaks_of_comes_first() -> None:
    item = ItemSpec(id="tax", goal="The total of a basket has the tax in it", files=("shop/basket.py",))
    shown = order(SHOP, Focus.of(item))
    assert set(shown[:3]) == {"shop/basket.py", "shop/tax.py", "shop/money.py"}
    assert shown.index("shop/web/app.py") < shown.index("shop/stock.py"), "who uses it matters, its neighbour does not"
    mail = order(SHOP, Focus(text="the mail that is sent after `checkout` renders prices"))
    assert mail[:2] in (["shop/mail.py", "shop/web/app.py"], ["shop/web/app.py", "shop/mail.py"])
    assert order(SHOP, Focus(built_on=("shop/stock.py",)))[0] == "shop/stock.py"


def test_without_any_work_what_most_others_use_comes_first() -> None:
    ranked = rank(SHOP, Focus())
    assert order(SHOP, Focus()) and set(ranked.files) == {one.path for one in SHOP.files}
    links, _ = link(SHOP)
    even = {one.path: 1 / len(SHOP.files) for one in SHOP.files}
    steps = {
        path: [(t, w / sum(targets.values())) for t, w in targets.items()] for path, targets in links.items() if targets
    }
    shares = pagerank(steps, even)
    assert max(shares, key=lambda path: shares[path]) == "shop/errors.py" and sum(shares.values()) == pytest.approx(1)


def test_a_name_means_the_file_that_is_imported() -> None:
    code = Code(
        files=(
            file("a/one.py", ["run"]), file("b/one.py", ["run"]), file("c/one.py", ["run"]), file("d/one.py", ["run"]),
            file("main.py", ["go"], ["run", "Part", "print"], ["b/one", "pkg"]),
            file("pkg/__init__.py", [], ["Part"], ["./inner"]), file("pkg/inner.py", ["Part"]), file("x/other.py", ["Part"]),
            file("web/a.js", ["run"], family="web"), file("web/b.js", [], ["run"], ["./a.js"], family="web"),
            file("go/a.go", ["helper"], family="go"), file("go/b.go", [], ["helper"], family="go"),
        )
    )  # fmt: skip
    links, uses = link(code)
    assert uses[("b/one.py", "run")] == {"main.py": 0.5} and ("a/one.py", "run") not in uses
    assert set(uses[("pkg/inner.py", "Part")]) == {"main.py", "pkg/__init__.py"} and ("x/other.py", "Part") not in uses
    assert links["web/b.js"].keys() == {"web/a.js"} and links["go/b.go"].keys() == {"go/a.go"}
    assert "main.py" not in links["main.py"], "a file says nothing about itself"


def test_the_same_code_in_another_order_is_ranked_the_same_to_the_last_bit() -> None:
    focus = Focus(paths=("shop/tax.py",), text="tax of a basket")
    expected = mapped(SHOP, rank(SHOP, focus), 1000)
    for seed in range(5):
        uses = [
            SourceFile(f.path, f.family, f.definitions, dict(sorted(f.references.items())), f.imports)
            for f in SHOP.files
        ]
        assert mapped(Code(tuple(uses), SHOP.others), rank(Code(tuple(uses), SHOP.others), focus), 1000) == expected
        random.Random(seed).shuffle(uses)
        assert set(order(Code(tuple(uses)), focus)) == set(order(SHOP, focus, others=False))


@pytest.mark.parametrize("room", [60, 100, 200, 400, 1000])
def test_the_room_is_kept_and_the_best_is_in_it(room: int) -> None:
    text = mapped(SHOP, rank(SHOP, Focus(paths=("shop/tax.py",))), room)
    assert len(text) <= room
    assert room < 100 or text.startswith("shop/tax.py\n")
    whole = mapped(SHOP, rank(SHOP, Focus()), 8000)
    assert (
        "    1 type Basket\n    2   function add" in whole
        and "without definitions:\n  README.md\n  docs/: a.md, b.md" in whole
    )


def test_what_is_shown_elsewhere_is_left_out_and_what_was_not_read_is_said() -> None:
    late = Code(SHOP.files, unread=7)
    text = mapped(late, rank(late, Focus()), 4000, leave_out={"shop/basket.py"})
    assert "basket.py\n    1 type Basket" not in text and text.endswith(
        "[7 more files of code could not be read in time]"
    )
    assert mapped(Code(), rank(Code(), Focus(text="x")), 1000) == ""


def test_an_outline_is_cut_from_within() -> None:
    whole = file("a.py", ["A", ".one", ".two", "b"])
    assert outline(whole, 500).split("\n") == ["a.py", "    1 type A", "    2   function one", "    3   function two",
                                               "    4 function b"]  # fmt: skip
    assert outline(whole, 50).split("\n") == ["a.py", "    1 type A", "    4 function b"]
    many = outline(file("a.py", [f"f{n}" for n in range(50)]), 120)
    assert len(many) <= 120 and many.endswith(" more]")


@pytest.mark.parametrize(("name", "path", "meant"), [
    ("a/b.py", "a/b.py", True), ("./a/b.py", "a/b.py", True), ("b.py", "a/b.py", True), ("a/", "a/b/c.py", True),
    ("a/*.py", "a/b.py", True), ("*.ts", "a/b.py", False), ("b", "a/b.py", False), ("", "a.py", False),
    ("xb.py", "a/b.py", False),
])  # fmt: skip
def test_what_a_written_name_stands_for(name: str, path: str, meant: bool) -> None:
    assert stands_for(name, path) is meant


def test_names_fall_into_words() -> None:
    assert pieces("readHTTPHeaders") == pieces("read_http_header") and pieces("landings") == pieces("Landing")
    assert not pieces("__") and pieces("x9")
