"""People are led to the public address; programs may use every allowed name."""

from typing import Any

import pytest

PLACES = ["/", "/login?return_to=%2Forders", "/some/page?q=%E5%AD%A6&x="]


class TestPagesUnderAnotherName:
    @pytest.mark.parametrize("place", PLACES)
    async def test_reading_is_led_to_the_public_address(
        self, gateway: Any, behind: Any, settings: Any, place: str
    ) -> None:
        answer = await gateway.http.get(place, headers={"Host": f"localhost:{gateway.port}"})
        assert (answer.status_code, answer.headers["location"]) == (307, settings.issuer + place)
        assert behind.received == []

    async def test_a_form_is_not_sent_on(self, gateway: Any, behind: Any) -> None:
        answer = await gateway.http.post("/some/form", headers={"Host": "localhost"}, content=b"a=1")
        assert answer.status_code == 200
        assert len(behind.received) == 1

    async def test_the_public_name_is_served_whatever_the_port(self, gateway: Any) -> None:
        for host in ("127.0.0.1", "127.0.0.1:1"):
            assert (await gateway.http.get("/", headers={"Host": host})).status_code == 200


class TestPrograms:
    async def test_are_answered_under_every_allowed_name(self, gateway: Any, issuer: Any) -> None:
        headers = {**issuer.bearer(), "Host": "localhost"}
        assert (await gateway.http.get("/api/catalog/x", headers=headers)).status_code == 200
