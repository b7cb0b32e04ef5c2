"""The policy: what relations are by, that current facts decide, and that silence refuses."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import httpx
import pytest
from edulake.common.errors import Forbidden, NotFound, Unavailable
from edulake.common.identity import ROLES, Subject
from edulake.common.policy import (
    RELATIONS,
    TABLE,
    Deciding,
    Facts,
    Neighbours,
    Scope,
    allow,
    care_of,
    could,
    may,
    row,
)
from edulake.common.policy.relations import ANYONE, KNOWN
from edulake.common.standards import Standards
from edulake.common.standards.contract import Owner
from fastapi import APIRouter
from hypothesis import given
from hypothesis import strategies as st

CENTRE, ZHOU = "市教育委员会信息中心", "person:zhou-owner"
LINES = [(kind, verb) for kind, of in TABLE.items() for verb in of.verbs]
IDS = st.sampled_from(["person:a", "client:a", "person:b", ZHOU])
subjects = st.builds(
    lambda known, roles, organisation, accountable: Subject(
        id=known,
        kind=known.partition(":")[0],
        name=known,
        roles=roles,
        organisation=organisation,
        accountable=accountable,
    ),
    IDS,
    st.frozensets(st.sampled_from(sorted(ROLES))),
    st.sampled_from([None, CENTRE, "乙区教育局"]),
    st.one_of(st.none(), IDS),
)
every_facts = st.builds(
    Facts,
    owners=st.sampled_from([(), (Owner(organisation=CENTRE, contact=ZHOU),)]),
    contact=st.one_of(st.none(), IDS),
    own=st.frozensets(IDS),
    accountable=st.one_of(st.none(), IDS),
)


def who(*roles: str, id: str = "person:a", **more: Any) -> Subject:  # noqa: A002
    return Subject(id=id, kind=id.partition(":")[0], name=id, roles=frozenset(roles), **more)  # type: ignore[arg-type]


class Ingest:
    """Sources as they are now, and how often it was asked."""

    def __init__(self, **contacts: str) -> None:
        self.contacts, self.asked = contacts, 0

    async def contacts_of(self, sources: Iterable[str]) -> dict[str, str]:
        self.asked += 1
        return {source: self.contacts[source] for source in sources if source in self.contacts}

    async def sources_of(self, contact: str) -> frozenset[str]:
        self.asked += 1
        return frozenset(source for source, named in self.contacts.items() if named == contact)


class TestTable:
    def test_every_relation_is_used_and_in_words(self) -> None:
        used = frozenset().union(*(row(*line) for line in LINES))
        assert used == set(RELATIONS)
        assert all(one.zh and one.en for one in RELATIONS)
        assert all(set(one.roles) <= set(ROLES) for one in RELATIONS)

    @given(subjects, every_facts, st.sampled_from(LINES))
    def test_what_may_be_done_to_one_could_be_done_to_some(
        self, subject: Subject, facts: Facts, line: tuple[str, str]
    ) -> None:
        assert could(subject, *line) or not may(subject, *line, facts)

    @given(every_facts, st.sampled_from(LINES))
    def test_a_system_administrator_sees_no_business_data(self, facts: Facts, line: tuple[str, str]) -> None:
        business = {"source", "batch", "order", "grant", "application", "usage"}
        if line[0].partition(".")[0] in business:
            admin = who("system_admin", id="person:system", organisation=CENTRE)
            assert not may(admin, *line, facts)

    @given(every_facts, st.sampled_from(LINES))
    def test_somebody_without_roles_does_only_what_is_their_own_or_for_all(
        self, facts: Facts, line: tuple[str, str]
    ) -> None:
        if not row(*line) & {ANYONE, KNOWN}:
            assert not may(who(id="person:new", organisation=CENTRE), *line, facts)

    def test_a_line_that_is_not_there_is_a_defect_at_import(self) -> None:
        for line in (("batch", "bless"), ("batches", "read")):
            with pytest.raises(ValueError, match=line[0]):
                allow(*line)

    def test_a_route_says_its_line(self) -> None:
        from edulake.common.identity import policy_of

        router = APIRouter()

        @router.get("/x")
        def x(subject: Annotated[Subject, allow("batch.findings", "read")]) -> None: ...

        assert policy_of(router.routes[0]) == "batch.findings:read"  # type: ignore[arg-type]


class TestCare:
    @pytest.mark.parametrize(
        ("subject", "has"),
        [
            (who(organisation=CENTRE), True),
            (who(organisation="乙区教育局"), False),
            (who(organisation=None), False),
            (who(id=ZHOU), True),
            (who(id="client:p", accountable=ZHOU), True),
            (who(id="client:zhou-owner", accountable="client:zhou-owner"), False),
        ],
        ids=["organisation", "another", "none", "contact", "program of the contact", "namesake"],
    )
    def test_is_of_the_organisation_and_of_the_contact(self, subject: Subject, has: bool) -> None:
        assert care_of(subject).has(CENTRE, ZHOU) == has


@pytest.fixture
def deciding(standards: Standards) -> Callable[[Ingest], Deciding]:
    return lambda ingest: Deciding(standards.datasets, ingest)


class TestDeciding:
    async def test_the_contact_is_who_it_is_now(self, deciding: Any) -> None:
        ingest, contact = Ingest(a="person:a"), who("source_contact")

        async def reads(source: str) -> bool:
            request = deciding(ingest)
            facts = request.facts("school_base")
            return bool(await request.may(contact, "batch.findings", "read", facts, source=source))

        assert await reads("a")
        ingest.contacts["a"] = "person:b"
        assert not await reads("a")
        assert not await reads("gone")

    async def test_one_request_is_decided_by_one_answer(self, deciding: Any) -> None:
        """A refusal asks for two lines of the table; ingest once heard the same question for each."""
        ingest, contact = Ingest(a="person:b"), who("source_contact")
        request = deciding(ingest)
        facts = request.facts("school_base")
        with pytest.raises(NotFound):
            await request.check(
                contact, "batch", "withdraw", facts, absent=NotFound("无", "none"), source="a"
            )
        assert ingest.asked == 1
        for _ in range(2):
            await request.scope(contact, "batch.findings")
        assert ingest.asked == 2

    @pytest.mark.parametrize(
        ("subject", "line"),
        [
            (who("steward", "source_contact"), ("batch.findings", "read")),
            (who("owner", "source_contact", organisation=CENTRE), ("order", "assign")),
            (who("owner", organisation="乙区教育局"), ("batch.findings", "read")),
            (who("source_contact"), ("dataset", "restore")),
        ],
        ids=["suffices already", "in care", "no contact", "not for contacts"],
    )
    async def test_ingest_is_asked_only_where_that_decides(
        self, deciding: Any, subject: Subject, line: tuple[str, str]
    ) -> None:
        ingest = Ingest(a="person:a")
        decides = deciding(ingest)
        await decides.may(subject, *line, decides.facts("school_base"), source="a")
        assert ingest.asked == 0

    async def test_what_may_not_be_read_is_absent_and_what_may_is_refused(self, deciding: Any) -> None:
        decides, absent = deciding(Ingest(a="person:b")), NotFound()
        facts = decides.facts("school_base")
        with pytest.raises(NotFound):
            await decides.check(who("source_contact"), "source", "deliver", facts, source="a", absent=absent)
        owner = who("owner", organisation=CENTRE)
        with pytest.raises(Forbidden):
            await decides.check(owner, "source", "deliver", facts, source="a", absent=absent)

    async def test_a_list_is_all_or_what_is_in_care_and_of_own_sources(self, deciding: Any) -> None:
        decides = deciding(Ingest(a="person:a", b="person:b"))
        assert await decides.scope(who("steward"), "batch") == Scope(everything=True)
        both = await decides.scope(who("owner", "source_contact", organisation=CENTRE), "batch")
        assert (both.sources, "school_base" in both.datasets) == ({"a"}, True)
        assert "senior_quota" not in both.datasets
        assert (both.holds("senior_quota", "a"), both.holds("senior_quota", "b")) == (True, False)
        assert await decides.scope(who("approver", organisation=CENTRE), "batch") == Scope()


class TestNeighbours:
    @pytest.mark.parametrize("status", [401, 404, 500, 503, None])
    async def test_silence_and_refusal_decide_nothing(self, make_settings: Any, status: int | None) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            if status is None:
                raise httpx.ReadTimeout("slow", request=request)
            return httpx.Response(status)

        asking = Neighbours(make_settings(), "governance", transport=httpx.MockTransport(answer))
        with pytest.raises(Unavailable):
            await asking.contacts_of(["a"])
        with pytest.raises(Unavailable):
            await asking.sources_of("person:a")
        if status == 404:
            assert await asking.subject("person:nobody") is None
        else:
            with pytest.raises(Unavailable):
                await asking.subject("person:a")
        await asking.client.close()
