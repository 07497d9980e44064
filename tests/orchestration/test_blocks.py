"""The block of a provider: kept on the server with its key hidden, read back as settings."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prefect.client.orchestration import PrefectClient
from pydantic import SecretStr, ValidationError

from aurea.domain.errors import UsageError
from aurea.settings import Settings
from blocks import AureaProvider, stored_provider


@pytest.fixture
async def saved(client: PrefectClient) -> AsyncIterator[str]:
    block = AureaProvider(provider="openai", model="gpt-x", key=SecretStr("sk-1"), base_url="http://127.0.0.1:9/v1")
    await block.save("default", overwrite=True)  # type: ignore[misc]
    yield "default"
    await AureaProvider.adelete("default")


async def test_no_block_is_no_provider() -> None:
    assert await stored_provider("nobody-saved-this") is None


async def test_a_saved_block_comes_back_as_the_settings_of_its_provider(saved: str) -> None:
    block = await stored_provider(saved)
    assert block is not None
    assert block.offer() == {"provider": "openai", "model": "gpt-x"}
    settings = Settings.read(block.variables())
    assert settings.vendor("openai").key == "sk-1"
    assert settings.vendor("openai").base_url == "http://127.0.0.1:9/v1"


async def test_the_key_does_not_show(saved: str, client: PrefectClient) -> None:
    shown = await client.read_block_document_by_name("default", "aurea-provider", include_secrets=False)
    assert shown.data["key"] != "sk-1"
    assert "sk-1" not in repr(await stored_provider(saved))


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(ValidationError, match="known are openai"):
        AureaProvider(provider="opnai")


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (AureaProvider(provider="ollama", key=SecretStr("x")), "takes no key"),
        (AureaProvider(provider="google", base_url="http://x"), "takes no base_url"),
    ],
)
def test_what_a_provider_cannot_take_is_refused(block: AureaProvider, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        block.variables()
