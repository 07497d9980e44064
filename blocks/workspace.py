"""Block `aurea-workspace`: where attempts are worked on, and what their commands may do there."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from blocks.kept import BLANK, Kept, Text


class AureaWorkspace(Kept):
    """Where the workspaces of attempts and gates lie, and how closed they are."""

    _block_type_name = "Aurea workspace"
    _block_type_slug = "aurea-workspace"
    _description = "Where agents and checks of Aurea's runs work, and how closed that is."

    folder: Text = Field(
        default=None,
        title="Folder",
        description="Where workspaces of deployed runs lie, on the machine that works. Empty: ~/.cache/aurea.",
    )
    sandbox: Annotated[
        Literal["auto", "process"] | None, BLANK, WithJsonSchema({"type": "string", "enum": ["auto", "process"]})
    ] = Field(default=None, title="Sandbox", description="What commands run in. Empty: auto.")
    network: Annotated[
        Literal["none", "open"] | None, BLANK, WithJsonSchema({"type": "string", "enum": ["none", "open"]})
    ] = Field(default=None, title="Network", description="What agents' tools and checks reach. Empty: nothing (none).")

    def defaults(self) -> dict[str, Any]:
        """`sandbox` and `network`, where they are said."""
        said = {"sandbox": self.sandbox, "network": self.network}
        return {key: value for key, value in said.items() if value}

    def variables(self) -> dict[str, str]:
        """The folder."""
        return {"AUREA_WORKSPACES": self.folder} if self.folder else {}
