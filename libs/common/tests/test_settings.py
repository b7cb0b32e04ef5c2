"""What a process is told: which role it reaches the database as, and how long its end may take."""

import pytest
from edulake.common.settings import READER, Settings

FIXED = "postgresql://edulake_gateway:p%40ss@db.example:5432/edulake"


class TestDatabaseAddress:
    def test_the_role_stands_where_its_place_is(self) -> None:
        settings = Settings(database_url="postgresql://{role}:{role}@db/edulake")
        assert settings.database_for("edulake_auth") == "postgresql://edulake_auth:edulake_auth@db/edulake"
        assert settings.database_for(READER) == "postgresql://edulake_reader:edulake_reader@db/edulake"

    def test_a_fixed_address_is_taken_by_the_role_it_names(self) -> None:
        assert Settings(database_url=FIXED).database_for("edulake_gateway") == FIXED

    @pytest.mark.parametrize("role", [READER, "edulake_auth"])
    @pytest.mark.parametrize("address", [FIXED, FIXED.replace("edulake_gateway:p%40ss@", "")])
    def test_nobody_works_in_the_role_of_another(self, role: str, address: str) -> None:
        with pytest.raises(ValueError, match=rf"{role}.*EDULAKE_DATABASE_READER_URL") as refused:
            Settings(database_url=address).database_for(role)
        assert "p%40ss" not in str(refused.value)

    def test_the_reader_has_an_address_of_its_own_where_addresses_are_fixed(self) -> None:
        own = "postgresql://edulake_reader:q@replica.example/edulake"
        settings = Settings(database_url=FIXED, database_reader_url=own)
        assert settings.database_for(READER) == own
        assert settings.database_for("edulake_gateway") == FIXED

    def test_another_roles_address_is_none_for_the_reader(self) -> None:
        settings = Settings(database_url=FIXED, database_reader_url=FIXED)
        with pytest.raises(ValueError, match=READER):
            settings.database_for(READER)


class TestStopLimit:
    @pytest.mark.parametrize("seconds", [1, 15, 600])
    def test_leaves_time_for_requests_then_background_work_then_closing(self, seconds: int) -> None:
        assert Settings(shutdown_timeout_s=seconds).stop_limit_s > 2 * seconds
