"""What a tool of an MCP server answered, as the text that a model is told. Pure."""

from __future__ import annotations

import json
from typing import Any

from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from aurea.agents.tools.text import cut

LIMIT = 20_000


def told(result: CallToolResult) -> str:
    """Its texts; what is no text is named. Where there is none, its structured content as JSON."""
    texts = [_block(block) for block in result.content]
    if not texts and result.structured_content is not None:
        texts = [json.dumps(result.structured_content, ensure_ascii=False, default=str)]
    return cut("\n".join(texts), LIMIT) or "[an empty answer]"


def _block(block: Any) -> str:
    match block:
        case TextContent():
            return block.text
        case ImageContent() | AudioContent():
            return f"[{block.type} of type {block.mime_type}, about {_bytes(block.data)} bytes: not shown]"
        case ResourceLink():
            return f"[a link to {block.name}: {block.uri}]"
        case EmbeddedResource(resource=BlobResourceContents() as blob):
            return f"[a file {blob.uri} of about {_bytes(blob.blob)} bytes: not shown]"
        case EmbeddedResource(resource=TextResourceContents() as text):
            return f"[{text.uri}]\n{text.text}"
        case _:
            return "[content of a kind that is not known]"


def _bytes(base64: str) -> int:
    return len(base64) * 3 // 4
