"""Files sealed piece by piece in bounded memory.

Layout: magic, key id, 16-byte salt, chunk size; then chunks of SM4-GCM, all of the stated size but
the last. Every file has its own key (from the salt); a chunk's nonce is its index and a last-flag,
so cutting, reordering, repeating or extending a file breaks a tag (the STREAM construction of
Hoang, Reyhanitabar, Rogaway and Vizár, CRYPTO 2015). Head and place are authenticated everywhere.
"""

import os
import struct
from collections.abc import Iterable, Iterator

from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from edulake.common.gm.errors import SealBroken
from edulake.common.gm.keys import Key, KeyRing
from edulake.common.gm.sealing import TAG_BYTES, decrypt, encrypt

MAGIC = b"EDLS1"
CHUNK_BYTES = 1 << 20
MAX_CHUNK_BYTES = 16 << 20
_TAIL = struct.Struct(">16sI")


def seal_stream(
    ring: KeyRing, chunks: Iterable[bytes], aad: bytes, *, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Seal a file for one place; pieces may have any size. Memory: two chunks."""
    key, salt = ring.current, os.urandom(16)
    kid = key.kid.encode()
    head = MAGIC + bytes([len(kid)]) + kid + _TAIL.pack(salt, chunk_bytes)
    yield head
    cipher, place = _file_key(key, salt), head + aad
    for index, piece, is_last in _fixed(chunks, chunk_bytes):
        yield encrypt(cipher, _nonce(index, is_last), piece, place)


def open_stream(ring: KeyRing, chunks: Iterable[bytes], aad: bytes) -> Iterator[bytes]:
    """Open a sealed file; each piece is authentic when given, the whole only once the iteration ended.

    Raises SealBroken or UnknownKey, possibly after some pieces: use nothing until the end is reached.
    """
    source = iter(chunks)
    head, rest = _read_head(source)
    kid, (salt, chunk_bytes) = (
        head[6 : -_TAIL.size].decode("ascii", "replace"),
        _TAIL.unpack(head[-_TAIL.size :]),
    )
    if not 0 < chunk_bytes <= MAX_CHUNK_BYTES:
        raise SealBroken("chunk size out of bounds")
    cipher, place = _file_key(ring.get(kid), salt), head + aad
    for index, piece, is_last in _fixed(_chain(rest, source), chunk_bytes + TAG_BYTES):
        yield decrypt(cipher, _nonce(index, is_last), piece, place)


def _file_key(key: Key, salt: bytes) -> SM4:
    return SM4(key.mac("stream/v1").digest(salt)[:16])


def _nonce(index: int, is_last: bool) -> bytes:
    return index.to_bytes(11, "big") + bytes([is_last])


def _fixed(chunks: Iterable[bytes], size: int) -> Iterator[tuple[int, bytes, bool]]:
    """Re-cut into pieces of one size; the last, possibly empty or shorter, is flagged."""
    index, held = 0, bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            if len(held) == size:
                yield index, bytes(held), False
                index += 1
                held.clear()
            taken = view[: size - len(held)]
            held += taken
            view = view[len(taken) :]
    yield index, bytes(held), True


def _read_head(source: Iterator[bytes]) -> tuple[bytes, bytes]:
    data = b""
    for chunk in source:
        data += chunk
        if len(data) > len(MAGIC):
            length = len(MAGIC) + 1 + data[len(MAGIC)] + _TAIL.size
            if not data.startswith(MAGIC):
                raise SealBroken("not a sealed file")
            if len(data) >= length:
                return data[:length], data[length:]
    raise SealBroken("not a sealed file, or cut inside its head")


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
