"""Events are a product: their shapes are checked in, and both sides may upgrade in any order."""

import json
import re
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from edulake.common.clock import now
from edulake.common.events import (
    BY_NAME,
    CATALOGUE,
    TOPICS,
    AccessGrantChanged,
    AccessTokenRevoked,
    Event,
    EventData,
    Grant,
    RawBatchWithdrawn,
    new_event_id,
)
from edulake.common.events.__main__ import golden, write
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

GOLDEN = Path(__file__).resolve().parents[1] / "events_golden"
FIRST = GOLDEN / "first"
every_event = pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.name)


def first_sample(kind: type[EventData]) -> dict[str, Any]:
    """The event as it was first shipped; these files are only ever added."""
    sample: dict[str, Any] = json.loads((FIRST / f"{kind.name}.json").read_text(encoding="utf-8"))
    return sample


def with_unknown_fields(value: Any) -> Any:
    """The same document as a newer producer may send it: more fields, at every depth that is a model."""
    if isinstance(value, list):
        return [with_unknown_fields(item) for item in value]
    if isinstance(value, dict) and "rule_id" in value:
        return {**value, "added_later": {"deep": [1]}}
    return value


def enveloped(data: EventData) -> Event:
    return Event(
        event_id=new_event_id(),
        name=data.name,
        key=data.key(),
        occurred_at=now(),
        producer="edulake_tests",
        trace_id="0" * 31 + "1",
        data=data.model_dump(mode="json"),
    )


class TestGolden:
    @every_event
    def test_the_schema_is_the_one_checked_in(self, kind: type[EventData]) -> None:
        """When this fails, the shape of a fact changed: read events/base.py, then regenerate."""
        assert (GOLDEN / f"{kind.name}.json").read_text(encoding="utf-8") == golden(kind)

    def test_the_envelope_is_the_one_checked_in(self) -> None:
        assert (GOLDEN / "envelope.json").read_text(encoding="utf-8") == golden(Event)

    def test_no_file_is_left_over_or_missing(self) -> None:
        names = {f"{name}.json" for name in BY_NAME}
        assert {path.name for path in GOLDEN.glob("*.json")} == names | {"envelope.json"}
        assert {path.name for path in FIRST.glob("*.json")} == names

    def test_writing_again_changes_no_byte(self, tmp_path: Path) -> None:
        write(tmp_path)
        for path in tmp_path.glob("*.json"):
            assert path.read_bytes() == (GOLDEN / path.name).read_bytes()
        assert len(list(tmp_path.glob("*.json"))) == len(CATALOGUE) + 1


class TestBackward:
    """A new consumer reads what an old producer sent."""

    @every_event
    def test_the_first_shipped_document_is_still_understood(self, kind: type[EventData]) -> None:
        data = kind.model_validate(first_sample(kind))
        again = data.model_dump(mode="json")
        for field, value in first_sample(kind).items():
            assert again[field] == value, field

    @every_event
    def test_everything_after_the_first_version_is_optional(self, kind: type[EventData]) -> None:
        required = set(kind.model_json_schema().get("required", ()))
        assert required <= set(first_sample(kind)), "a new field must have a default, or a new version"

    @every_event
    def test_optional_fields_may_be_missing(self, kind: type[EventData]) -> None:
        required = kind.model_json_schema().get("required", ())
        least = {field: value for field, value in first_sample(kind).items() if field in required}
        kind.model_validate(least)


class TestForward:
    """An old consumer reads what a new producer sends."""

    @every_event
    def test_unknown_fields_are_ignored(self, kind: type[EventData]) -> None:
        sample = first_sample(kind)
        newer = {field: with_unknown_fields(value) for field, value in sample.items()}
        newer["added_later"] = {"anything": [1, "二"]}
        assert kind.model_validate(newer) == kind.model_validate(sample)

    def test_unknown_fields_of_the_envelope_are_ignored(self) -> None:
        event = enveloped(RawBatchWithdrawn.model_validate(first_sample(RawBatchWithdrawn)))
        assert Event.model_validate({**event.model_dump(), "added_later": 1}) == event

    def test_a_missing_required_field_is_refused(self) -> None:
        sample = first_sample(RawBatchWithdrawn)
        del sample["batch_id"]
        with pytest.raises(ValidationError, match="batch_id"):
            RawBatchWithdrawn.model_validate(sample)


class TestCatalogue:
    def test_topics_are_the_zones(self) -> None:
        assert TOPICS == ("access", "governed", "published", "quality", "raw", "workorder")

    def test_names_are_unique_and_tell_zone_subject_action_and_version(self) -> None:
        assert len(BY_NAME) == len(CATALOGUE)
        for name in BY_NAME:
            assert re.fullmatch(r"[a-z]+(\.[a-z]+){1,2}\.v[1-9]\d*", name), name

    @every_event
    def test_every_event_has_a_key_from_its_own_facts(self, kind: type[EventData]) -> None:
        data = kind.model_validate(first_sample(kind))
        assert data.key() in first_sample(kind).values()

    @every_event
    def test_facts_cannot_be_changed_after_the_fact(self, kind: type[EventData]) -> None:
        data = kind.model_validate(first_sample(kind))
        with pytest.raises(ValidationError, match="frozen"):
            setattr(data, next(iter(kind.model_fields)), "other")

    def test_a_revocation_of_a_whole_client_is_keyed_by_the_client(self) -> None:
        moment = now()
        by_client = AccessTokenRevoked(client_id="c-1", before=moment, expires_at=moment)
        by_token = AccessTokenRevoked(client_id="c-1", jti="j-1", before=moment, expires_at=moment)
        assert (by_client.key(), by_token.key()) == ("c-1", "j-1")

    def test_a_grant_event_holds_the_whole_grant(self) -> None:
        sample = first_sample(AccessGrantChanged)
        event = AccessGrantChanged.model_validate(sample)
        assert event.grant == Grant.model_validate(sample)
        assert AccessGrantChanged(**event.grant.model_dump(), change="granted") == event

    def test_naive_moments_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="timezone"):
            AccessTokenRevoked.model_validate(
                {"jti": "j", "before": "2026-09-01T08:00:00", "expires_at": "2026-09-01T08:00:00"}
            )


class TestEnvelope:
    @every_event
    def test_facts_survive_the_way_through_json(self, kind: type[EventData]) -> None:
        data = kind.model_validate(first_sample(kind))
        event = Event.model_validate_json(enveloped(data).model_dump_json())
        assert kind.model_validate(event.data) == data
        assert event.topic == kind.name.split(".")[0]

    @given(st.text(max_size=20), st.text(max_size=20))
    def test_any_text_survives(self, dataset: str, by: str) -> None:
        data = RawBatchWithdrawn(dataset=dataset, batch_id="b", source_id="s", by=by)
        event = Event.model_validate_json(enveloped(data).model_dump_json())
        assert RawBatchWithdrawn.model_validate(event.data) == data


class TestEventId:
    def test_ids_are_version_7_and_rise_with_time(self) -> None:
        earlier = new_event_id()
        time.sleep(0.002)
        later = new_event_id()
        assert earlier < later
        for found in (earlier, later):
            assert found.version == 7
            assert found.variant == uuid.RFC_4122

    def test_ids_of_one_moment_differ(self) -> None:
        assert len({new_event_id() for _ in range(1000)}) == 1000

    def test_the_first_48_bits_are_milliseconds(self) -> None:
        assert abs((new_event_id().int >> 80) / 1000 - time.time()) < 2
