"""What Aurea's blocks have in common, and how they are read from the Prefect server."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, ClassVar, TypeVar

import httpx
from prefect import get_client
from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound
from pydantic import BeforeValidator, SecretStr, WithJsonSchema

from aurea.domain.errors import Permanent, UsageError

DEFAULT = "default"

# What may be left out. The schema keeps quiet about `null`, since the UI's form has tabs for a choice of types. What is
# left empty there may come as an empty text.
BLANK = BeforeValidator(lambda value: None if value == "" else value)
Text = Annotated[str | None, BLANK, WithJsonSchema({"type": "string"})]
Secret = Annotated[SecretStr | None, BLANK, WithJsonSchema({"type": "string", "format": "password", "writeOnly": True})]
Whole = Annotated[int | None, BLANK, WithJsonSchema({"type": "integer"})]
Number = Annotated[float | None, BLANK, WithJsonSchema({"type": "number"})]


class Kept(Block):
    """A block that says something for every run which names it, behind flags, spec, `aurea.yaml` and environment."""

    _events_excluded_methods: ClassVar[list[str]] = [*Block._events_excluded_methods, "defaults", "variables"]

    def defaults(self) -> dict[str, Any]:
        """Keys of a spec."""
        return {}

    def variables(self) -> dict[str, str]:
        """What stands in for variables of the environment."""
        return {}


B = TypeVar("B", bound=Kept)


async def kept(block: type[B], name: str | None = None) -> B | None:
    """The block of that type and name; without a name `default`, or None where nobody has saved one.

    `UsageError` where a named one is not there, or where what it holds is no sense.
    """
    async with get_client() as client:
        return await _read(client, block, name)


async def all_kept(*wanted: tuple[type[Kept], str | None]) -> list[Kept]:
    """Those of the wanted blocks that are there, as `kept` finds them."""
    async with get_client() as client:
        found = await asyncio.gather(*(_read(client, block, name) for block, name in wanted))
    return [block for block in found if block is not None]


async def _read(client: PrefectClient, block: type[B], name: str | None) -> B | None:
    full = f"{block.get_block_type_slug()}/{name or DEFAULT}"
    try:
        return await block.aload(name or DEFAULT, client=client)
    except ValueError as fault:
        if not isinstance(fault.__cause__, ObjectNotFound):
            raise _unusable(full, fault) from None
        if name is None:
            return None
        raise UsageError(
            f"there is no block {full} on the Prefect server {str(client.api_url).rstrip('/')}",
            remedy="save it there (`prefect block register --module blocks` makes its type known to the UI), "
            f"or name another in `blocks.{full.partition('/')[0].removeprefix('aurea-')}`",
        ) from None
    except httpx.HTTPError as fault:
        raise Permanent(
            f"the Prefect server {client.api_url} does not tell of the block {full}: {fault}",
            remedy="look at its address and key: PREFECT_API_URL, PREFECT_API_KEY",
        ) from fault
    except RuntimeError as fault:  # as Prefect tells of values that its type does not allow
        raise _unusable(full, fault.__cause__ or fault) from None


def _unusable(full: str, fault: BaseException) -> UsageError:
    errors = getattr(fault, "errors", None)
    words = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in errors()) if errors else str(fault)
    return UsageError(f"the block {full} cannot be used: {words}", remedy="change it in the UI, under Blocks")
