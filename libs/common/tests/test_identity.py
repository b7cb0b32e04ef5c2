"""Contexts between services: signed, for one audience, for a minute; every route names its policy."""

import time
from typing import Annotated

import orjson
import pytest
from edulake.common.errors import Unauthorized
from edulake.common.identity import (
    ContextSigner,
    ContextVerifier,
    Subject,
    public,
    refuse_routes_without_policy,
)
from edulake.common.policy import allow
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st

KEY = b"k" * 32
LI = Subject(id="person:li", kind="person", name="李治理", roles=frozenset({"steward"}), district="310115")


class TestContext:
    def test_carries_the_subject_whole(self) -> None:
        header = ContextSigner(KEY, "gateway").sign(LI, "catalog")
        assert ContextVerifier(KEY, "catalog").verify(header) == LI

    def test_is_ascii_so_that_it_fits_a_header(self) -> None:
        ContextSigner(KEY, "gateway").sign(LI, "catalog").encode("ascii")

    @pytest.mark.parametrize("header", [None, "", ".", "a.b", "é.é", "x" * 5000])
    def test_garbage_is_refused(self, header: str | None) -> None:
        with pytest.raises(Unauthorized):
            ContextVerifier(KEY, "catalog").verify(header)

    def test_another_key_is_refused(self) -> None:
        with pytest.raises(Unauthorized):
            ContextVerifier(b"o" * 32, "catalog").verify(ContextSigner(KEY, "gateway").sign(LI, "catalog"))

    def test_another_audience_is_refused(self) -> None:
        with pytest.raises(Unauthorized):
            ContextVerifier(KEY, "auth").verify(ContextSigner(KEY, "gateway").sign(LI, "catalog"))

    def test_an_old_one_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        header = ContextSigner(KEY, "gateway").sign(LI, "catalog")
        later = time.time() + 70
        monkeypatch.setattr(time, "time", lambda: later)
        with pytest.raises(Unauthorized):
            ContextVerifier(KEY, "catalog").verify(header)

    @given(st.integers(0, 60), st.integers(1, 255))
    def test_any_changed_byte_is_refused(self, place: int, flip: int) -> None:
        header = bytearray(ContextSigner(KEY, "gateway").sign(LI, "catalog").encode())
        header[place] ^= flip
        with pytest.raises(Unauthorized):
            ContextVerifier(KEY, "catalog").verify(header.decode("latin-1"))

    def test_roles_are_in_a_stable_order(self) -> None:
        two = LI.model_copy(update={"roles": frozenset({"owner", "approver"})})
        header = ContextSigner(KEY, "gateway").sign(two, "catalog")
        import base64

        body = orjson.loads(base64.urlsafe_b64decode(header.split(".")[0]))
        assert body["sub"]["roles"] == ["approver", "owner"]


class TestPolicy:
    def test_a_route_without_one_stops_the_start(self) -> None:
        router = APIRouter()

        @router.get("/open")
        def open_to_all() -> None: ...

        with pytest.raises(RuntimeError, match="/open"):
            refuse_routes_without_policy(router.routes)

    def test_a_route_of_an_included_router_is_looked_at_too(self) -> None:
        """FastAPI 0.165 keeps included routers as they are; the check once saw none of their routes."""
        inner, app = APIRouter(), FastAPI()

        @inner.get("/open")
        def open_to_all() -> None: ...

        app.include_router(inner, prefix="/deep")
        with pytest.raises(RuntimeError, match="/deep/open"):
            refuse_routes_without_policy(app.routes)

    def test_a_route_with_one_is_accepted(self) -> None:
        router = APIRouter()

        @router.get("/a", dependencies=[public()])
        def anybody() -> None: ...

        @router.get("/b")
        def stewards(subject: Annotated[Subject, allow("source", "register")]) -> None: ...

        refuse_routes_without_policy(router.routes)
