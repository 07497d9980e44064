"""The live wire to Ollama, by its own API: `/api/chat`, streamed. Imports its libraries: import it late.

Ollama's OpenAI-compatible API drops `num_ctx`, `keep_alive` and most other options, and cuts long prompts silently. The
`ollama` package gives the connection (address, key, certificates); its `chat()` is not used, because it rewrites what it
sends: `anyOf`, limits and defaults disappear from schemas, ids from tool calls, and it knows neither `truncate` nor
`shift`. Its `_request` would lose the headers of an error, so its HTTP client is asked directly.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import ollama

from aurea.domain.messages import ModelReply, ModelRequest
from aurea.models.faults import Server, fault
from aurea.models.hearing import ear
from aurea.models.prices import estimate_tokens
from aurea.models.providers import Endpoint
from aurea.models.wires import ollama_faults as faults
from aurea.models.wires.ollama_format import LEAST_CONTEXT, Answer, to_body, to_load, words
from aurea.models.wires.plain import own_headers
from aurea.models.wires.sse import lines as lines_of

CONNECT_S = 10.0
LOAD_S = 300.0  # a large model from a slow disk takes minutes, and a client that leaves ends the loading
FIRST_EVENT = 2.5  # times as long as later events a first one may take: 300 s, with the usual 120
LOOK_S = 10.0
STAYS_S = 240.0  # Ollama keeps an idle model for five minutes
SHORTEST_CUT = 1024  # tokens; the smallest context that Ollama ever gave by itself is twice as long
NEVER_STAYS = (0, "0", "0s", "0m", "0h")


class OllamaWire:
    """One Ollama server.

    `prepare` loads a model in advance, so that a call's own limits start with a model that can answer. `headers`: send
    our own headers (`always`: to the vendor's own hosts as well).
    """

    def __init__(self, endpoint: Endpoint, *, headers: bool | str = True) -> None:
        self.endpoint = endpoint
        self._place = headers == "always" or (headers is True and not endpoint.vendor)
        # A proxy of the environment is not asked for this machine's own server.
        timeout = httpx.Timeout(None, connect=CONNECT_S)
        self._client = ollama.AsyncClient(endpoint.url, timeout=timeout, trust_env=not endpoint.local)
        self._http: httpx.AsyncClient = self._client._client
        self._key = self._http.headers.get("authorization", "").removeprefix("Bearer ")
        self._loading: dict[str, asyncio.Lock] = {}
        self._loaded: dict[str, tuple[str, float]] = {}  # by model: what it was loaded with, and when it was last used
        self._contexts: dict[str, int] = {}  # the largest context that was asked for; it does not shrink again
        self._given: dict[str, int] = {}  # the context that the server says a model has

    async def prepare(self, request: ModelRequest) -> None:
        """Wait until the model is loaded as `request` needs it; a `timeout` fault when that takes too long."""
        body, name = self._body(request), request.model.name
        if body.get("keep_alive") in NEVER_STAYS:
            return
        load = to_load(body)
        wanted, now = json.dumps(load, sort_keys=True), asyncio.get_running_loop().time
        async with self._loading.setdefault(name, asyncio.Lock()):
            loaded, used = self._loaded.get(name, ("", 0.0))
            if loaded == wanted and now() - used < STAYS_S:
                return
            # What does not tell of its models may be no Ollama, and take a request to load one for a question.
            if await self._models() is None:
                return
            try:
                async with asyncio.timeout(LOAD_S):
                    answer = await self._http.post("/api/generate", json=load)
            except TimeoutError as error:
                raise fault("timeout", self._server(request), f"not loaded after {LOAD_S:g} s") from error
            except httpx.HTTPError:
                return  # the call will meet the same, and say it
            if answer.status_code < 500:  # a server that loads nothing in advance is not asked again
                self._loaded[name] = (wanted, now())
            known = (await self._models() or {}) if answer.is_success else {}
            self._given[name] = known.get(name) or known.get(f"{name}:latest", 0)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One answer of the server; a `ModelFault` where there is none.

        It may be `timeout_s` without a sign of going on, the first one longer, and `remaining_s` in all.
        """
        body, server = self._body(request), self._server(request)
        self._check_room(request, server)
        answer = Answer(ear())
        try:
            async with self._answering(request, body, server) as lines:
                async for line in lines:
                    answer.add(faults.piece(line, server, self._key))
        except httpx.HTTPError as error:
            raise faults.broken(error, server, self._key) from error
        if answer.end is None:
            raise fault("connection", server, "the answer broke off", maybe_billed=True)
        name = request.model.name
        if name in self._loaded:
            self._loaded[name] = (self._loaded[name][0], asyncio.get_running_loop().time())
        self._check_whole(request, server, answer.counted)
        return answer.reply(request)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    @asynccontextmanager
    async def _answering(
        self, request: ModelRequest, body: dict[str, Any], server: Server
    ) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of the answer, as they come."""
        now = asyncio.get_running_loop().time
        end = now() + (math.inf if request.remaining_s is None else request.remaining_s)
        headers = own_headers(request, place=self._place)
        watch = asyncio.timeout_at(min(now() + FIRST_EVENT * request.timeout_s, end))

        async def watched(response: httpx.Response) -> AsyncIterator[str]:
            async for line in lines_of(response.aiter_bytes()):
                watch.reschedule(min(now() + request.timeout_s, end))
                if line.strip():
                    yield line.decode("utf-8", "replace")

        try:
            async with watch, self._http.stream("POST", "/api/chat", json=body, headers=headers) as response:
                if not response.is_success:
                    raise faults.refused(
                        response.status_code, response.headers, await response.aread(), server, self._key
                    )
                yield watched(response)
        except TimeoutError as error:
            if now() >= end:
                raise fault("timeout", server, f"{request.remaining_s:g} s are over") from error
            raise fault("timeout", server, "no sign of an answer, or of its going on") from error

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        name = request.model.name
        body = to_body(request, least_context=self._contexts.get(name, LEAST_CONTEXT))
        if "num_ctx" not in request.model.options:
            self._contexts[name] = body["options"]["num_ctx"]
        return body

    async def _models(self) -> dict[str, int] | None:
        """The models that are loaded, with their context in tokens (0: not said); None where the server does not tell."""
        try:
            async with asyncio.timeout(LOOK_S):
                answer = await self._http.get("/api/ps")
            rows = answer.json()["models"] if answer.is_success else None
            return None if rows is None else {str(row["name"]): int(row.get("context_length") or 0) for row in rows}
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _check_room(self, request: ModelRequest, server: Server) -> None:
        given = self._given.get(request.model.name, 0)
        if given and words(request) > given:
            raise faults.too_long(server, f"the server gives it {given} tokens of context")

    def _check_whole(self, request: ModelRequest, server: Server, counted: int) -> None:
        """A prompt of which the server counted fewer tokens than it has words was cut on the way."""
        given = self._given.get(request.model.name, 0)
        # Where all of it has room nothing was cut: some versions leave out of the count what was in their cache.
        if given and estimate_tokens(request.messages, request.tools) <= given:
            return
        least = words(request)
        if SHORTEST_CUT <= counted < least:
            said = f"the server cut the prompt: it read {counted} tokens of at least {least}"
            raise faults.too_long(server, said)

    def _server(self, request: ModelRequest) -> Server:
        return Server(self.endpoint.provider.name, request.model.name, self.endpoint.shown)
