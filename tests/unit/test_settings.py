"""The environment as settings: names, defaults, secrets, faults, and what goes before what."""

from __future__ import annotations

from pathlib import Path

import pytest

from aurea.domain.errors import UsageError
from aurea.intake.changes import changes
from aurea.intake.faults import SpecFaults
from aurea.intake.layers import Flags
from aurea.intake.resolve import Stored, resolve
from aurea.settings import Settings

SPEC = "project: notes\nobjective: from spec\nchecks: [{name: tests, run: pytest -q}]\n"


def test_defaults_follow_xdg() -> None:
    settings = Settings.read({"HOME": "/home/u"})
    assert settings.home == Path("/home/u/.local/state/aurea")
    assert settings.workspaces == Path("/home/u/.cache/aurea")
    assert settings.database_url == "sqlite:////home/u/.local/state/aurea/ledger.db"
    assert settings.server_idle_s == 900
    moved = Settings.read({"HOME": "/home/u", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/c"})
    assert (moved.home, moved.workspaces) == (Path("/s/aurea"), Path("/c/aurea"))


def test_the_flag_goes_before_the_variable() -> None:
    env = {"HOME": "/home/u", "AUREA_HOME": "~/x", "AUREA_WORKSPACES": "/w"}
    assert Settings.read(env).home == Path("/home/u/x")
    assert Settings.read(env, home=Path("/flag")).home == Path("/flag")
    assert Settings.read({"AUREA_HOME": "rel"}).home == Path.cwd() / "rel"


def test_secrets_stay_out_of_the_repr() -> None:
    settings = Settings.read(
        {"OPENAI_API_KEY": "sk-secret", "AUREA_LEDGER_URL": "sqlite:///secret.db", "OTHER": "secret too"}
    )
    assert "secret" not in repr(settings)
    assert settings.vendor("openai").key == "sk-secret"
    assert settings.passed(["OTHER", "NONE"]) == {"OTHER": "secret too"}


def test_a_provider_is_present_when_its_key_or_address_is_set() -> None:
    settings = Settings.read(
        {"OPENAI_BASE_URL": "http://x", "ANTHROPIC_API_KEY": "k", "OLLAMA_HOST": "localhost", "GEMINI_API_KEY": ""}
    )
    assert settings.providers_present() == ("anthropic", "ollama")
    assert settings.vendor("openai").base_url == "http://x"
    assert settings.vendor("ollama").base_url == "localhost"
    assert not settings.vendor("replay").present


def test_own_names_go_before_the_short_ones() -> None:
    both = Settings.read({"AUREA_PROVIDER": "openai", "PROVIDER": "ollama", "AUREA_MODEL": "a", "MODEL": "b"})
    assert (both.provider, both.provider_variable, both.model) == ("openai", "AUREA_PROVIDER", "a")
    short = Settings.read({"PROVIDER": "ollama", "MODEL": "b"})
    assert (short.provider, short.provider_variable, short.model) == ("ollama", "PROVIDER", "b")


def test_the_ledger_may_be_any_database_and_its_url_is_not_shown() -> None:
    settings = Settings.read({"AUREA_LEDGER_URL": "postgresql://u:secret@h/db"})
    assert settings.database_url == "postgresql://u:secret@h/db"
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf"])
def test_a_number_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="AUREA_SERVER_IDLE_S"):
        Settings.read({"AUREA_SERVER_IDLE_S": value})


@pytest.mark.parametrize(
    ("flags", "spec", "defaults", "variable", "kept", "wanted"),
    [
        (Flags(), "", "", None, None, "none"),
        (Flags(), "", "", None, 40, 40),
        (Flags(), "", "", "30", 40, 30),
        (Flags(), "", "answer_within_s: 20", "30", 40, 20),
        (Flags(), "answer_within_s: none", "answer_within_s: 20", "30", 40, "none"),
        (Flags(sets=("answer_within_s=5",)), "answer_within_s: none", "", "30", 40, 5),
    ],
)
def test_how_long_a_person_has(
    flags: Flags, spec: str, defaults: str, variable: str | None, kept: float | None, wanted: object, tmp_path: Path
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "aurea.yaml").write_text(f"{defaults}\nmax_attempts: 2\n")
    (tmp_path / "s.yaml").write_text(f"{SPEC}repo: .\n{spec}\n")
    settings = Settings.read({"OPENAI_API_KEY": "k", "AUREA_ANSWER_WITHIN_S": variable or ""})
    stored = Stored({"aurea-policy/default": {"answer_within_s": kept}}) if kept else None
    got = resolve(Path("s.yaml"), flags, cwd=tmp_path, settings=settings, stored=stored).spec
    assert got.answer_within_s == wanted
    later = Flags(sets=("answer_within_s=86400",))
    assert changes(got, later, tmp_path) == {"answer_within_s": 86400}


def test_a_time_for_answers_that_is_none_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(SpecFaults, match="AUREA_ANSWER_WITHIN_S: answer_within_s: must be more than 0 or `none`"):
        resolve(SPEC, Flags(), cwd=tmp_path, settings=Settings.read({"AUREA_ANSWER_WITHIN_S": "0"}))
    with pytest.raises(UsageError, match="AUREA_ANSWER_WITHIN_S='soon' is no number of seconds"):
        Settings.read({"AUREA_ANSWER_WITHIN_S": "soon"})


def test_whether_answers_are_kept(tmp_path: Path) -> None:
    def got(variable: str, spec: str = "") -> bool:
        settings = Settings.read({"OPENAI_API_KEY": "k", "AUREA_CACHE": variable})
        return resolve(SPEC + spec, Flags(), cwd=tmp_path, settings=settings).spec.cache

    assert (got(""), got("1"), got("true"), got("0")) == (False, True, True, False)
    assert not got("1", "cache: false\n")
    with pytest.raises(UsageError, match="AUREA_CACHE='often' is neither on nor off"):
        got("often")


def test_names_nobody_knows_are_named() -> None:
    warnings = Settings.read({"AUREA_HOM": "/x", "AUREA_ZZZZZZZZZZ": "1", "AUREA_MODEL": "m"}).warnings
    assert len(warnings) == 2
    assert warnings[0].endswith("has no effect; did you mean AUREA_HOME?")
    assert warnings[1].endswith("has no effect")


def test_the_terminal() -> None:
    settings = Settings.read({"NO_COLOR": "1", "COLUMNS": "100"})
    assert settings.no_color
    assert settings.columns == 100
    plain = Settings.read({"NO_COLOR": "", "COLUMNS": "wide"})
    assert not plain.no_color
    assert plain.columns is None
