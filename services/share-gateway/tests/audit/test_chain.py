import dataclasses
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from edulake.common.gm import KeyRing
from edulake.share_gateway.audit.chain import Head, Link, Record, Verdict, Verifier, canonical, extend
from hypothesis import given
from hypothesis import strategies as st

RING = KeyRing.of(k1=b"1" * 32)
START = datetime(2026, 3, 1, tzinfo=UTC)


def record(number: int, **over: object) -> Record:
    facts: dict[str, object] = {
        "at": START + timedelta(seconds=number),
        "kind": "read",
        "client_id": f"client-{number}",
        "grant_id": "g1",
        "api": "student",
        "purpose": "测试",
        "level": 4,
        "status": 200,
        "calls": 1,
        "record": "t1.k1.x",
        "client_ip": "10.0.0.1",
        "trace_id": "0" * 32,
        "version": 1,
        "records": ("t1.k1.a", "t1.k1.b")[: number % 3],
    }
    return Record(**{**facts, **over})  # type: ignore[arg-type]


def chain(length: int) -> tuple[list[Link], Head | None]:
    links: list[Link] = []
    head: Head | None = None
    for number in range(length):  # one group a record: groups must not matter
        more, head = extend(RING, head, [record(number)])
        links += more
    return links, head


def verify(links: list[Link], head: Head | None, ring: KeyRing = RING) -> Verdict:
    verifier = Verifier(ring)
    return verifier.feed(links) or verifier.finish(head)


class TestAnUntouchedChain:
    def test_holds(self) -> None:
        assert verify(*chain(20)) == Verdict(20)

    def test_does_not_depend_on_how_records_were_grouped(self) -> None:
        singly, head = chain(6)
        together, same = extend(RING, None, [record(number) for number in range(6)])
        assert together == singly
        assert same == head

    def test_holds_when_empty(self) -> None:
        assert verify([], None) == Verdict(0)

    def test_holds_across_a_key_rotation(self) -> None:
        links, head = chain(3)
        rotated = KeyRing.of(k1=b"1" * 32, k2=b"2" * 32)
        more, head = extend(rotated, head, [record(3)])
        assert more[0].kid == "k2"
        assert verify(links + more, head, rotated).is_whole


class TestATouchedChain:
    @pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Record)])
    def test_any_changed_field_shows_at_its_row(self, field: str) -> None:
        links, head = chain(5)
        value = getattr(links[2].record, field)
        other = value + timedelta(microseconds=1) if field == "at" else value + type(value)("1")
        links[2] = dataclasses.replace(
            links[2], record=dataclasses.replace(links[2].record, **{field: other})
        )
        assert verify(links, head).first_wrong == 3

    def test_a_removed_row_shows(self) -> None:
        links, head = chain(5)
        assert verify(links[:2] + links[3:], head).first_wrong == 3

    def test_a_removed_row_shows_even_when_the_rest_is_renumbered(self) -> None:
        links, head = chain(5)
        moved = [dataclasses.replace(link, seq=link.seq - 1) for link in links[3:]]
        assert verify(links[:2] + moved, head).first_wrong == 3

    def test_rows_cut_off_the_end_show(self) -> None:
        links, head = chain(5)
        assert verify(links[:3], head).first_wrong == 4

    def test_rows_cut_off_together_with_an_older_head_need_the_key(self) -> None:
        links, head = chain(5)
        assert head is not None
        forged = dataclasses.replace(head, seq=3, hash=links[2].hash)
        assert verify(links[:3], forged).reason == "the head was changed"

    def test_a_row_added_without_the_key_shows(self) -> None:
        links, head = chain(3)
        forged, forged_head = extend(KeyRing.of(k1=b"9" * 32), head, [record(3)])
        assert verify(links + forged, forged_head).first_wrong == 4

    def test_an_exchange_of_two_rows_shows(self) -> None:
        links, head = chain(4)
        links[1], links[2] = links[2], links[1]
        assert verify(links, head).first_wrong == 2

    def test_a_missing_head_shows(self) -> None:
        links, _ = chain(2)
        assert not verify(links, None).is_whole


class TestCanonicalBytes:
    @given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
    def test_text_shifted_between_fields_gives_other_bytes(self, a: str, b: str, c: str, d: str) -> None:
        one = canonical(1, record(1, client_id=a, grant_id=b))
        two = canonical(1, record(1, client_id=c, grant_id=d))
        assert (one == two) == ((a, b) == (c, d))

    @given(st.lists(st.text(max_size=4), max_size=3), st.lists(st.text(max_size=4), max_size=3))
    def test_other_records_give_other_bytes(self, one: list[str], two: list[str]) -> None:
        texts = [canonical(1, record(1, records=tuple(found))) for found in (one, two)]
        assert (texts[0] == texts[1]) == (one == two)

    def test_each_link_is_different_even_for_equal_records(self) -> None:
        links, _ = extend(RING, None, [record(1)] * 4)
        assert all(one.hash != two.hash for one, two in pairwise(links))
