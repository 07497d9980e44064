"""Block `aurea-notification`: who is told when a question opens or a run ends."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.utilities.asyncutils import run_coro_as_sync
from pydantic import Field, model_validator

from blocks.kept import Kept, Secret, Text

WEBHOOK_S = 5.0  # of an address that does not answer, since the end of a run waits for it


class AureaNotification(Kept):
    """Tells people through any notification block of Prefect's, or by a request to an address."""

    _block_type_name = "Aurea notification"
    _block_type_slug = "aurea-notification"
    _description = "Who is told when a run of Aurea asks a person something, and when it ends."
    _events_excluded_methods: ClassVar[list[str]] = [*Kept._events_excluded_methods, "send"]

    through: Text = Field(
        default=None,
        title="Notification block",
        description="Another block that notifies, as TYPE/NAME, for example slack-webhook/alerts. This, or a webhook.",
    )
    webhook: Secret = Field(
        default=None,
        title="Webhook",
        description="Or an address that gets a POST with JSON. The key text of it is what people should read.",
    )
    questions: list[Literal["plan", "land", "escalation", "budget", "blocked"]] = Field(
        default=["plan", "land", "escalation", "budget", "blocked"],
        title="Questions",
        description="Which kinds of questions are told when they open.",
    )
    ends: list[Literal["succeeded", "failed", "cancelled", "interrupted"]] = Field(
        default=["succeeded", "failed"], title="Ends", description="Which ends of a run are told."
    )

    @model_validator(mode="after")
    def _one_way(self) -> AureaNotification:
        if bool(self.through) == bool(self.webhook):
            raise ValueError("give a notification block or a webhook, one of the two")
        return self

    def send(self, subject: str, text: str, document: Mapping[str, Any]) -> None:
        """Tell it, and wait until that is done; any exception says that it was not. Not to be called on an event loop.

        A notification block is told `subject` and `text`, an address `document` with `text` beside it.
        """
        if self.through:
            block = Block.load(self.through, _sync=True)  # type: ignore[call-arg]
            assert isinstance(block, NotificationBlock), f"{self.through} is no notification block"
            with block.raise_on_failure():
                sent = block.notify(text, subject)
                if inspect.isawaitable(sent):
                    run_coro_as_sync(sent)
            return
        assert self.webhook is not None
        address = self.webhook.get_secret_value()
        block = CustomWebhookNotificationBlock(
            name="aurea",
            url=address,
            form_data="{{body}}",
            headers={"Content-Type": "application/json"},
            timeout=WEBHOOK_S,
        )
        try:
            block.notify(json.dumps({"text": f"{subject}\n\n{text}", **document}, ensure_ascii=False), subject)
        except Exception as fault:
            raise RuntimeError(str(fault).replace(address, "the webhook")) from None  # the address is the secret
