"""What one gateway process does besides answering: follow the rights, write the audit, settle quotas."""

import asyncio
from contextlib import suppress
from functools import partial

from edulake.common.bus import BusLimits, PostgresBus
from edulake.common.bus.watch import watch
from edulake.common.service import Resources, keep_running
from edulake.share_gateway.audit.service import Verification
from edulake.share_gateway.handlers import HANDLERS
from edulake.share_gateway.plane import Plane

#: Between two tries of what rights depend on: with it, a look and the applying itself, well within P4.
LONGEST_PAUSE_S = 1.0


def _plane(resources: Resources) -> Plane:
    plane: Plane = resources.extra["plane"]
    return plane


async def follow_access(resources: Resources, stop: asyncio.Event) -> None:
    """Look at grants and revocations a few times a second."""
    await _plane(resources).follower.follow(stop)


async def follow_keys(resources: Resources, stop: asyncio.Event) -> None:
    """Read the issuer's keys until they are known, and again from time to time."""
    await _plane(resources).keys.follow(stop)


async def read_access_events(resources: Resources, stop: asyncio.Event) -> None:
    """Keep the projections of rights from the log itself, whatever carries the other events.

    A revocation must hold within seconds (P4), also while Kafka is away and after Postgres was: so it never
    pauses long, however often it failed before.
    """
    limits = BusLimits(poll_ms=resources.settings.bus_poll_ms)
    bus = PostgresBus(_plane(resources).database, limits)
    read = partial(bus.consume, resources.name, HANDLERS, resources, stop)
    await keep_running(
        "read_access_events", read, stop, longest_pause_s=LONGEST_PAUSE_S, failing=resources.failing
    )


async def tell_lag(resources: Resources, stop: asyncio.Event) -> None:
    """Tell how far the reading of rights is behind, also while that fails."""
    await watch(_plane(resources).database, BusLimits(), resources.name, stop)


async def write_audit(resources: Resources, stop: asyncio.Event) -> None:
    """Commit waiting audit records group by group."""
    await _plane(resources).audit.commit_groups(stop)


async def verify_audit(resources: Resources, stop: asyncio.Event) -> None:
    """Look now and then whether the audit chain holds."""
    plane = _plane(resources)
    every_s = plane.settings.audit_verify_s
    await Verification(resources.database, plane.audit_ring, every_s).run(stop)


async def flush_counts(resources: Resources, stop: asyncio.Event) -> None:
    """Write the counts of general calls every second, and once more at the end."""
    plane = _plane(resources)
    await plane.audit.flush_regularly(plane.settings.audit_flush_s, stop)


async def settle_quotas(resources: Resources, stop: asyncio.Event) -> None:
    """Give unused leases back, and all of them at the end."""
    leases = _plane(resources).leases
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)
        await leases.give_back(everything=stop.is_set())


BACKGROUND = (
    follow_access,
    follow_keys,
    read_access_events,
    tell_lag,
    write_audit,
    flush_counts,
    settle_quotas,
    verify_audit,
)
