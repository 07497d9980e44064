"""A question answered where people look: in Prefect's UI, with a real browser, in both versions of the UI."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from surfaces.server.place import Place, api_url, ask

SPEC = Path(__file__).parents[2] / "examples" / "with_approval" / "spec.yaml"
BROWSER, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
# Without 3D: drawn in software, the timeline of a flow run takes both cores.
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-3d-apis", "--window-size=1300,1400",
)  # fmt: skip

pytestmark = [
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"),
    pytest.mark.timeout(600),
]


class Page:
    """A browser and what a person does with it; whatever is looked for is waited for."""

    def __init__(self, folder: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(BROWSER)
        for flag in (*QUIET, f"--user-data-dir={folder}"):
            options.add_argument(flag)
        self.browser = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))

    def see(self, xpath: str) -> WebElement:
        def shown(browser: webdriver.Chrome) -> WebElement | None:
            return next((found for found in browser.find_elements(By.XPATH, xpath) if found.is_displayed()), None)

        return WebDriverWait(self.browser, 90, ignored_exceptions=[WebDriverException]).until(shown, xpath)

    def read(self, words: str, within: str = "//body") -> None:
        self.see(f"{within}//*[text()[contains(., {json.dumps(words)})]]")

    def press(self, words: str, within: str = "//body") -> None:
        self.see(
            f"{within}//*[self::button or @role='menuitem' or @role='option'][normalize-space(.)='{words}']"
        ).click()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    opened = Page(tmp_path / "browser")
    yield opened
    opened.browser.quit()


@pytest.fixture
def process(aurea: Any) -> Iterator[subprocess.Popen[str]]:
    """The run `in-the-ui` at work, which will ask whether its plan is right, and nothing else."""
    only = ("--set", 'approvals=["plan"]', "--set", "land=branch")
    started = aurea.start("run", str(SPEC), *only, "--new", "--run-id", "in-the-ui", "--wait", "500", "--json")
    yield started
    if started.poll() is None:
        os.killpg(started.pid, signal.SIGKILL)
        started.communicate()


def gate(server: str) -> str:
    """The flow run of the question, as soon as it can be answered."""
    tagged = {"tags": {"all_": ["run:in-the-ui", "kind:plan"]}, "state": {"type": {"any_": ["PAUSED"]}}}
    for _ in range(600):
        if found := ask(server, "POST", "/flow_runs/filter", {"flow_runs": tagged}):
            return str(found[0]["id"])
        time.sleep(0.1)
    raise AssertionError("the question is not shown in Prefect")


def test_a_question_is_answered_in_the_ui(aurea: Any, page: Page, process: subprocess.Popen[str]) -> None:
    asks = next((line for line in process.stderr or () if "asks: " in line), "")
    assert asks, "nothing was asked"
    server = api_url(Place(Path(aurea.env["AUREA_HOME"]).resolve()).read()["port"])
    url = f"{server.removesuffix('/api')}/runs/flow-run/{gate(server)}"

    def progress() -> list[tuple[str, str]]:
        wanted = {"artifacts": {"key": {"any_": ["progress-in-the-ui"]}}}
        return [(artifact["id"], artifact["data"]) for artifact in ask(server, "POST", "/artifacts/filter", wanted)]

    page.browser.get(url)
    page.read("Resume opens the form.")
    [(artifact, _)] = progress()

    page.press("Resume")
    page.press("Submit")
    page.read("'choice' is a required property")
    Select(page.see("//*[contains(@class, 'schema-form')]//select")).select_by_value("revise")
    page.press("Submit")
    page.read("Refused:")
    [open_still] = json.loads(aurea("inbox", "--run", "in-the-ui", "--json").stdout)
    assert open_still["ui_url"] == url
    [(_, live)] = progress()
    assert f"]({url})" in live, "the live page leads to what waits for a person"

    page.browser.get(url.replace("/runs/", "/v2/runs/"))
    page.see("//main//button[@aria-haspopup='menu']").click()
    page.press("Resume")
    form = "//*[@role='dialog']"
    page.read("needs the field 'comment'", form)
    page.press("Select", form)
    page.press("approve")
    page.see(f"({form}//textarea)[last()]").send_keys("as it should be")
    page.press("Resume", form)

    printed, said = process.communicate(timeout=240)
    assert process.returncode == 0, said + printed
    [answered] = [
        event
        for event in map(json.loads, aurea("tail", "in-the-ui", "--json").stdout.splitlines())
        if event["type"] == "question.answered"
    ]
    given = {key: answered["payload"][key] for key in ("choice", "reason", "door", "authenticated")}
    assert given == {"choice": "approve", "reason": "as it should be", "door": "ui", "authenticated": False}
    [(same, told)] = progress()
    assert same == artifact, "one page, rewritten in place"
    assert "**succeeded**" in told
