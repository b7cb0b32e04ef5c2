"""The audit chain: each row's hash covers the row and the hash before it (HMAC-SM3, GB/T 32905).

The key makes the chain more than a checksum: who can write the table but has not the key can neither
change, remove, insert nor cut off rows without `verify` finding the first wrong one.
"""

from dataclasses import dataclass
from datetime import datetime

from edulake.common.gm import KeyRing

GENESIS = bytes(32)
LABEL = "audit-chain"
HEAD_LABEL = "audit-head"


@dataclass(frozen=True, slots=True)
class Record:
    """One personal read, a count of general calls with the same facts, or delivered cells shown to who mends them."""

    at: datetime
    kind: str
    client_id: str
    grant_id: str
    api: str
    purpose: str
    level: int
    status: int
    calls: int
    record: str
    client_ip: str
    trace_id: str
    version: int
    #: Tokens of the records answered, each once; at most a page of them for each key of the dataset.
    records: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A record in its place. `hash` is 32 bytes under key `kid`."""

    seq: int
    record: Record
    kid: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ends; `seal` proves that it ends there."""

    seq: int
    hash: bytes
    kid: str
    seal: bytes


def canonical(seq: int, record: Record) -> bytes:
    """Length-prefixed fields in a fixed order, the records last, so that no two rows share their bytes."""
    fields = (
        str(seq),
        str(round(record.at.timestamp() * 1_000_000)),
        record.kind,
        record.client_id,
        record.grant_id,
        record.api,
        record.purpose,
        str(record.level),
        str(record.status),
        str(record.calls),
        record.record,
        record.client_ip,
        record.trace_id,
        str(record.version),
        *record.records,
    )
    encoded = (field.encode() for field in fields)
    return b"".join(b"%d:%b" % (len(field), field) for field in encoded)


def link_hash(ring: KeyRing, kid: str, before: bytes, seq: int, record: Record) -> bytes:
    """The hash of a row; raises UnknownKey when the ring does not hold `kid`."""
    return ring.get(kid).mac(LABEL).digest(before + canonical(seq, record))


def extend(ring: KeyRing, head: Head | None, records: list[Record]) -> tuple[list[Link], Head]:
    """Links for records behind a head (None: the chain is empty), and the new head."""
    seq, before = (head.seq, head.hash) if head else (0, GENESIS)
    kid = ring.current.kid
    links = []
    for record in records:
        seq += 1
        before = link_hash(ring, kid, before, seq, record)
        links.append(Link(seq, record, kid, before))
    return links, Head(seq, before, kid, head_seal(ring, kid, seq, before))


def head_seal(ring: KeyRing, kid: str, seq: int, tip: bytes) -> bytes:
    """What only the holder of the key can say of the end of the chain."""
    return ring.get(kid).mac(HEAD_LABEL).digest(b"%d:%b" % (seq, tip))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`first_wrong` is the first sequence number that does not hold; None when all do."""

    checked: int
    first_wrong: int | None = None
    reason: str = ""

    @property
    def is_whole(self) -> bool:
        return self.first_wrong is None


@dataclass(frozen=True, slots=True)
class Mark:
    """A place up to which a chain was verified."""

    seq: int = 0
    hash: bytes = GENESIS


class Verifier:
    """Walks the chain from a mark, its beginning by default, link by link."""

    def __init__(self, ring: KeyRing, since: Mark = Mark()) -> None:
        self._ring = ring
        self._before = since.hash
        self.checked = since.seq

    @property
    def mark(self) -> Mark:
        """How far it has come."""
        return Mark(self.checked, self._before)

    def feed(self, links: list[Link]) -> Verdict | None:
        """Check the next links; a Verdict as soon as one does not hold, else None."""
        for link in links:
            expected = self.checked + 1
            if link.seq != expected:
                return Verdict(self.checked, expected, "a row is missing")
            if link_hash(self._ring, link.kid, self._before, link.seq, link.record) != link.hash:
                return Verdict(self.checked, link.seq, "a row was changed, or one before it removed")
            self._before = link.hash
            self.checked = link.seq
        return None

    def finish(self, head: Head | None) -> Verdict:
        """Compare the end with the sealed head."""
        if head is None:
            whole = self.checked == 0
            return Verdict(self.checked, None if whole else 1, "" if whole else "the head is missing")
        if head_seal(self._ring, head.kid, head.seq, head.hash) != head.seal:
            return Verdict(self.checked, head.seq, "the head was changed")
        if head.seq > self.checked:
            return Verdict(self.checked, self.checked + 1, "rows were cut off the end")
        if head.seq < self.checked or head.hash != self._before:
            return Verdict(self.checked, head.seq + 1, "rows stand behind the head")
        return Verdict(self.checked)
