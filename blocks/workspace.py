"""Block `aurea-workspace`: where attempts are worked on, and what their commands may do there."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from blocks.kept import Kept


class AureaWorkspace(Kept):
    """Where the workspaces of attempts and gates lie, and how closed they are."""

    _block_type_name = "Aurea workspace"
    _block_type_slug = "aurea-workspace"
    _description = "Where agents and checks of Aurea's runs work, and how closed that is."

    folder: str | None = Field(
        default=None,
        title="Folder",
        description="for deployed runs, on the machine that works; as AUREA_WORKSPACES. Empty: ~/.cache/aurea",
    )
    sandbox: Literal["auto", "process"] | None = Field(
        default=None, title="Sandbox", description="what commands run in. Empty: auto"
    )
    network: Literal["none", "open"] | None = Field(
        default=None, title="Network", description="of agents' tools and of checks. Empty: none"
    )

    def defaults(self) -> dict[str, Any]:
        """`sandbox` and `network`, where they are said."""
        said = {"sandbox": self.sandbox, "network": self.network}
        return {key: value for key, value in said.items() if value}

    def variables(self) -> dict[str, str]:
        """The folder."""
        return {"AUREA_WORKSPACES": self.folder} if self.folder else {}
