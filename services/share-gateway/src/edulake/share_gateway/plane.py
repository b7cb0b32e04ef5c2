"""Everything the stages use, built once per process and closed at its end."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from edulake.common.db import Database
from edulake.common.gm import KeyRing, tokenise, tokenise_many, tokenise_with_all
from edulake.common.service import Resources
from edulake.share_gateway.audit.writer import AuditWriter
from edulake.share_gateway.cache.answers import AnswerCache
from edulake.share_gateway.cache.questions import Questions
from edulake.share_gateway.engine.definition import CompiledApi
from edulake.share_gateway.engine.execute import Engine
from edulake.share_gateway.engine.query import Call, record_of
from edulake.share_gateway.events.stream import PublishedEvents
from edulake.share_gateway.grant.access import AccessBook
from edulake.share_gateway.grant.follower import AccessFollower
from edulake.share_gateway.handlers import RIGHTS
from edulake.share_gateway.limits.callers import CallerRates
from edulake.share_gateway.limits.leases import Leases
from edulake.share_gateway.limits.shared import SharedQuota
from edulake.share_gateway.settings import GatewaySettings, Network
from edulake.share_gateway.tokens.keys import IssuerKeys
from edulake.share_gateway.tokens.verify import Tokens
from edulake.share_gateway.upstream.proxy import Upstreams
from edulake.share_gateway.upstream.routes import SHARE_PREFIX
from starlette.types import ASGIApp

RECORD_DOMAIN = "audit-record"


@dataclass(slots=True)
class Plane:
    """The data plane of one process."""

    settings: GatewaySettings
    hosts: frozenset[str]
    trusted_proxies: tuple[Network, ...]
    keys: IssuerKeys
    tokens: Tokens
    access: AccessBook
    follower: AccessFollower
    leases: Leases
    cache: AnswerCache
    engine: Engine
    questions: Questions
    events: PublishedEvents
    audit: AuditWriter
    audit_ring: KeyRing
    upstreams: Upstreams
    #: The database as the data plane itself uses it; requests to the administration have other connections.
    database: Database
    service_rates: CallerRates
    own_rates: CallerRates
    own_app: ASGIApp
    #: Set when the process is told to end: long connections say goodbye.
    is_stopping: bool = False
    share_prefix: str = SHARE_PREFIX

    def question_token(self, api: CompiledApi, call: Call) -> str:
        """What stands in the audit chain for what was asked: found again, names nobody."""
        return tokenise(self.audit_ring, record_of(api, call).hex(), RECORD_DOMAIN)

    def record_tokens(self, records: Sequence[bytes]) -> tuple[str, ...]:
        """What stands in the audit chain for the records that were answered."""
        texts = [record.hex() for record in records]
        return tuple(token for token in tokenise_many(self.audit_ring, texts, RECORD_DOMAIN) if token)

    def tokens_to_find(self, records: Sequence[bytes]) -> list[str]:
        """The tokens of these under every key of the ring: reads before a rotation are found too."""
        return [
            token for one in records for token in tokenise_with_all(self.audit_ring, one.hex(), RECORD_DOMAIN)
        ]


EngineOpener = Callable[[Resources], Engine]


def open_engine(resources: Resources) -> Engine:
    """The share engine, over connections of the read-only role."""
    settings, standards = resources.settings, resources.standards
    return Engine(
        reader_dsn=settings.database_for("edulake_reader"),
        apis=standards.apis,
        contracts=standards.datasets,
        codes=standards.codes,
        page_ring=resources.keys.ring("page"),
        pool_size=getattr(settings, "reader_pool_size", 8),
    )


@asynccontextmanager
async def open_plane(
    resources: Resources, own_app: ASGIApp, engine_opener: EngineOpener = open_engine
) -> AsyncIterator[Plane]:
    """Build the plane, load grants, versions and keys; raises when Postgres cannot be reached.

    An issuer that cannot be reached yet keeps the process from being ready, not from starting: it may start later.
    """
    settings = resources.settings
    if not isinstance(settings, GatewaySettings):
        raise TypeError("the gateway needs GatewaySettings")
    async with AsyncExitStack() as stack:
        database = Database(
            settings.database_for("edulake_gateway"),
            pool_size=settings.plane_pool_size,
            statement_timeout_ms=settings.database_timeout_ms,
        )
        stack.push_async_callback(database.close)
        plane = _assemble(settings, resources, database, own_app, engine_opener(resources))
        await plane.engine.start()
        stack.push_async_callback(plane.engine.close)
        await plane.upstreams.start()
        stack.push_async_callback(plane.upstreams.close)
        stack.push_async_callback(plane.cache.close)
        await plane.follower.look()
        await plane.keys.look()
        yield plane


def _assemble(
    settings: GatewaySettings, resources: Resources, database: Database, own_app: ASGIApp, engine: Engine
) -> Plane:
    keys = IssuerKeys(
        settings.service_url("auth") + "/.well-known/jwks.json",
        refresh_s=settings.jwks_refresh_s,
        timeout_s=settings.jwks_timeout_s,
    )
    access = AccessBook(settings.access_stale_s, settings.token_leeway_s)
    audit_ring = resources.keys.ring("audit")
    return Plane(
        settings=settings,
        hosts=frozenset(host.lower().strip("[]") for host in settings.hosts),
        trusted_proxies=settings.trusted_proxies,
        keys=keys,
        tokens=Tokens(
            keys,
            issuer=settings.issuer,
            leeway_s=settings.token_leeway_s,
            memory_s=settings.token_memory_s,
            memory_tokens=settings.token_memory_tokens,
        ),
        access=access,
        follower=AccessFollower(
            database,
            access,
            poll_s=settings.access_poll_ms / 1000,
            group=resources.name,
            names=sorted(kind.name for kind in RIGHTS),
        ),
        leases=Leases(
            SharedQuota(resources.redis),
            lease_s=settings.lease_s,
            timeout_s=settings.lease_timeout_ms / 1000,
            processes=settings.gateways,
        ),
        cache=AnswerCache(
            resources.redis,
            max_bytes=settings.cache_bytes,
            entry_bytes=settings.cache_entry_bytes,
            longest_s=settings.cache_s,
            timeout_s=settings.cache_timeout_ms / 1000,
        ),
        engine=engine,
        questions=Questions(engine),
        events=PublishedEvents(resources.database),
        audit=AuditWriter(
            database,
            audit_ring,
            commit_s=settings.audit_commit_ms / 1000,
            timeout_s=settings.audit_timeout_s,
            queue_records=settings.audit_queue_records,
        ),
        audit_ring=audit_ring,
        upstreams=Upstreams(settings),
        database=database,
        service_rates=CallerRates(settings.service_rate_per_s),
        own_rates=CallerRates(settings.own_rate_per_s),
        own_app=own_app,
    )
