"""What every caller may do, held in memory: grants, revoked tokens, disabled clients, quotas.

Promise P4: nothing is served without a grant that is valid now. What could not be confirmed for
`stale_s` is not believed (`is_fresh` turns false and every caller gets 503).
"""

import hashlib
import ipaddress
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from edulake.common.bus.unsettled import Unsettled
from edulake.common.events import AccessGrantChanged
from edulake.share_gateway.exchange import Principal
from edulake.share_gateway.limits.shared import Limit

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """A grant made ready to be checked. Times are seconds since the epoch."""

    grant_id: str
    client_id: str
    api: str
    dataset: str
    purpose: str
    columns: frozenset[str]
    districts: tuple[str, ...]
    mask_level: str
    valid_from: float
    valid_until: float
    networks: Networks | None
    level: int
    is_active: bool
    limit: Limit
    #: Differs between any two grants, and between two states of one that answer differently.
    fingerprint: bytes
    _ordered: list[tuple[str, ...]] = field(default_factory=list)

    @classmethod
    def of(cls, row: Any) -> "Access":
        """From a row of gateway.grant. An unreadable network admits nobody."""
        columns, districts = sorted(row["columns"]), tuple(sorted(row["districts"]))
        parts = [row["grant_id"], row["client_id"], row["api"], row["mask_level"], *columns, "|", *districts]
        digest = hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).digest()
        return cls(
            grant_id=row["grant_id"],
            client_id=row["client_id"],
            api=row["api"],
            dataset=row["dataset"],
            purpose=row["purpose"].strip(),
            columns=frozenset(columns),
            districts=districts,
            mask_level=row["mask_level"],
            valid_from=row["valid_from"].timestamp(),
            valid_until=row["valid_until"].timestamp(),
            networks=_networks(row["ip_allow"]),
            level=row["level"],
            is_active=row["status"] == "active",
            limit=Limit(max(0, row["rate_per_s"]), max(0, row["day_quota"])),
            fingerprint=digest[:16],
        )

    def is_open(self, now_s: float) -> bool:
        """Active, inside its time window, for a stated purpose."""
        return self.is_active and self.valid_from <= now_s < self.valid_until and bool(self.purpose)

    def admits(self, client_ip: str) -> bool:
        """True when calls may come from this address."""
        if self.networks is None:
            return True
        try:
            address = ipaddress.ip_address(client_ip)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.networks)

    def columns_of(self, offered: tuple[str, ...]) -> tuple[str, ...]:
        """The granted ones of the API's columns, in the API's order; a grant has one API, so one answer."""
        if not self._ordered:
            self._ordered.append(tuple(name for name in offered if name in self.columns))
        return self._ordered[0]


class AccessBook:
    """The state of all access rights in one process, as of `confirmed`."""

    def __init__(self, stale_s: float, skew_s: float) -> None:
        """`stale_s`: how long a look is believed; `skew_s`: by how much the issuer's clock may be ahead."""
        self._stale_s = stale_s
        self._skew_s = skew_s
        self._confirmed = float("-inf")
        #: True since the log was first found applied up to its end: a process that starts is not ready before.
        self.has_caught_up = False
        self._grants: dict[str, Access] = {}
        self._by_caller: dict[tuple[str, str], tuple[Access, ...]] = {}
        self._revoked_tokens: dict[str, float] = {}
        self._revoked_clients: dict[str, tuple[float, float]] = {}
        self._disabled: set[str] = set()
        #: What is known to have changed and could not be applied: grants, and clients or tokens.
        self._unapplied_grants: frozenset[str] = frozenset()
        self._unapplied_callers: frozenset[str] = frozenset()
        self._limits: dict[tuple[str, str], Limit] = {}

    def confirm(self, at_monotonic_s: float) -> None:
        """The state was read completely at this moment of the monotonic clock."""
        self._confirmed = at_monotonic_s

    def is_fresh(self) -> bool:
        return time.monotonic() - self._confirmed <= self._stale_s

    def put_grants(self, rows: Iterable[Any], *, whole: bool = False) -> None:
        """Take over changed grants, or (`whole`) all there are."""
        changed = [Access.of(row) for row in rows]
        if whole:
            self._grants = {}
        for access in changed:
            self._grants[access.grant_id] = access
        if changed or whole:
            self._index()

    def put_unapplied(self, events: Iterable[Unsettled]) -> None:
        """Close what these changes are about until they are applied: what is kept of it is known to be old."""
        grants: set[str] = set()
        callers: set[str] = set()
        is_behind = False
        for event in events:
            is_behind = is_behind or not event.is_dead
            (grants if event.name == AccessGrantChanged.name else callers).add(event.key)
        self._unapplied_callers = frozenset(callers)
        self.has_caught_up = self.has_caught_up or not is_behind
        if grants != self._unapplied_grants:
            self._unapplied_grants = frozenset(grants)
            self._index()

    def _index(self) -> None:
        grouped: dict[tuple[str, str], list[Access]] = {}
        for access in self._grants.values():
            if access.grant_id not in self._unapplied_grants:
                grouped.setdefault((access.client_id, access.api), []).append(access)
        self._by_caller = {
            caller: tuple(sorted(found, key=lambda a: (-a.valid_until, a.grant_id)))
            for caller, found in grouped.items()
        }

    def put_revocations(self, rows: Iterable[Any]) -> None:
        for row in rows:
            until = row["expires_at"].timestamp()
            if row["jti"]:
                self._revoked_tokens[row["jti"]] = until
            elif row["client_id"]:
                self._revoked_clients[row["client_id"]] = (row["before"].timestamp(), until)

    def put_clients(self, rows: Iterable[Any]) -> None:
        for row in rows:
            if row["status"] == "active":
                self._disabled.discard(row["client_id"])
            else:
                self._disabled.add(row["client_id"])

    def put_limits(self, rows: Iterable[Any]) -> None:
        for row in rows:
            caller = (row["client_id"], row["api"])
            if row["is_active"]:
                self._limits[caller] = Limit(row["rate_per_s"], row["day_quota"], row["month_quota"])
            else:
                self._limits.pop(caller, None)

    def forget_expired(self, now_s: float) -> None:
        """Drop revocations of tokens that have expired by themselves (plus two minutes of skew)."""
        self._revoked_tokens = {j: until for j, until in self._revoked_tokens.items() if until + 120 > now_s}
        self._revoked_clients = {c: e for c, e in self._revoked_clients.items() if e[1] + 120 > now_s}

    def is_revoked(self, principal: Principal) -> bool:
        """True for a revoked token, a token older than its client's revocation, or a disabled client.

        Also for a token issued up to `skew_s` after the revocation: an issuer whose clock is ahead by that
        writes so into a token it issued before. A client that may go on asks for a token after that time.
        """
        client, token = principal.client_id, principal.token_id
        if client in self._disabled or token in self._revoked_tokens:
            return True
        if client in self._unapplied_callers or token in self._unapplied_callers:
            return True
        entry = self._revoked_clients.get(client)
        # `iat` has whole seconds: a token of the second of the revocation counts as older.
        return entry is not None and principal.issued_at <= entry[0] + self._skew_s

    def grants_of(self, client_id: str, api: str) -> tuple[Access, ...]:
        """All grants of a caller for an API, the longest valid first; not checked."""
        return self._by_caller.get((client_id, api), ())

    def limit(self, client_id: str, api: str) -> Limit | None:
        """The quota in force: the administrator's, else that of the first open grant."""
        found = self._limits.get((client_id, api))
        if found is not None:
            return found
        now_s = time.time()
        return next((a.limit for a in self.grants_of(client_id, api) if a.is_open(now_s)), None)

    def datasets_of(self, client_id: str, now_s: float) -> frozenset[str]:
        """The datasets of the grants in force at this moment."""
        mine = (a for (client, _), found in self._by_caller.items() if client == client_id for a in found)
        return frozenset(access.dataset for access in mine if access.is_open(now_s))


def _networks(listed: list[str]) -> Networks | None:
    """None for an empty list (any address). An entry that is no network admits nobody."""
    if not listed:
        return None
    found = []
    for entry in listed:
        try:
            found.append(ipaddress.ip_network(entry.strip(), strict=False))
        except ValueError:
            continue
    return tuple(found)
