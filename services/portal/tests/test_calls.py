"""Asking auth for names: once for all, of people and programs only, and its silence costs no page."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from edulake.common.identity import HEADER, ContextVerifier, InternalClient
from edulake.portal.clients.calls import MOST_NAMES, Calls

Answer = Callable[[httpx.Request], httpx.Response]


async def names(settings: Any, answer: Answer, ids: list[str | None]) -> dict[str, str]:
    client = InternalClient(settings, "portal", transport=httpx.MockTransport(answer))
    try:
        return await Calls(client, 1).names(ids)
    finally:
        await client.close()


class TestNames:
    async def test_are_asked_for_once_as_a_service(self, make_settings: Any) -> None:
        settings, asked = make_settings(), []

        def auth(request: httpx.Request) -> httpx.Response:
            subject = ContextVerifier(settings.internal_key, "auth").verify(request.headers[HEADER])
            asked.append((request.url.path, subject.id, json.loads(request.content)))
            return httpx.Response(200, json={"names": {"person:b": "乙"}})

        ids = ["person:b", None, "service:workorder", "client:a", "person:b", "一个名字"]
        assert await names(settings, auth, ids) == {"person:b": "乙"}
        body = {"ids": ["client:a", "person:b"]}
        assert asked == [("/internal/subjects/names", "service:portal", body)]

    async def test_of_nobody_ask_nobody(self, make_settings: Any) -> None:
        def auth(_request: httpx.Request) -> httpx.Response:
            raise AssertionError("nothing is to be asked")

        assert await names(make_settings(), auth, [None, "service:portal"]) == {}

    async def test_of_very_many_ask_for_as_many_as_auth_takes(self, make_settings: Any) -> None:
        def auth(request: httpx.Request) -> httpx.Response:
            return httpx.Response(
                200, json={"names": dict.fromkeys(json.loads(request.content)["ids"], "甲")}
            )

        found = await names(make_settings(), auth, [f"person:{number}" for number in range(500)])
        assert len(found) == MOST_NAMES

    @pytest.mark.parametrize("status", [403, 404, 422, 503])
    async def test_that_are_not_told_are_not_known(self, make_settings: Any, status: int) -> None:
        def auth(_request: httpx.Request) -> httpx.Response:
            return httpx.Response(status, json={"title": "不可用 / no"})

        assert await names(make_settings(), auth, ["person:a"]) == {}
