"""Sealed files: every cut, swap, repeat and addition shows."""

import tracemalloc
from collections.abc import Iterator

import pytest
from edulake.common import gm
from hypothesis import given, settings
from hypothesis import strategies as st

RING = gm.KeyRing.of(k1=b"\1" * 32)
CHUNK = 32
HEAD = 5 + 1 + 2 + 16 + 4
FRAME = CHUNK + 16


def sealed(data: bytes, aad: bytes = b"raw/x") -> bytes:
    return b"".join(gm.seal_stream(RING, [data], aad, chunk_bytes=CHUNK))


def opened(data: bytes, aad: bytes = b"raw/x") -> bytes:
    return b"".join(gm.open_stream(RING, [data], aad))


def frames(data: bytes) -> tuple[bytes, list[bytes]]:
    body = data[HEAD:]
    return data[:HEAD], [body[i : i + FRAME] for i in range(0, len(body), FRAME)]


class TestRoundTrip:
    @given(st.lists(st.binary(max_size=90), max_size=6), st.integers(1, 100))
    @settings(max_examples=60)
    def test_any_pieces_in_and_any_pieces_back(self, pieces: list[bytes], cut: int) -> None:
        text = b"".join(gm.seal_stream(RING, pieces, b"place", chunk_bytes=CHUNK))
        slices = [text[i : i + cut] for i in range(0, len(text), cut)]
        assert b"".join(gm.open_stream(RING, slices, b"place")) == b"".join(pieces)

    @pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
    def test_lengths_about_a_chunk(self, length: int) -> None:
        assert opened(sealed(b"x" * length)) == b"x" * length

    def test_two_sealings_of_one_file_share_no_byte_of_ciphertext(self) -> None:
        first, second = sealed(b"x" * 100), sealed(b"x" * 100)
        assert not set(frames(first)[1]) & set(frames(second)[1])

    def test_memory_stays_at_a_few_chunks_for_a_file_of_any_size(self) -> None:
        def source() -> Iterator[bytes]:
            for _ in range(48):
                yield b"x" * (1 << 20)

        tracemalloc.start()
        total = sum(len(piece) for piece in gm.open_stream(RING, gm.seal_stream(RING, source(), b""), b""))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total == 48 << 20
        assert peak < 16 << 20


class TestTampering:
    DATA = bytes(range(100))  # three full chunks and a short one

    def test_cutting_at_a_chunk_border_shows(self) -> None:
        head, body = frames(sealed(self.DATA))
        for kept in range(len(body)):
            with pytest.raises(gm.SealBroken):
                opened(head + b"".join(body[:kept]))

    def test_cutting_anywhere_shows(self) -> None:
        text = sealed(self.DATA)
        for kept in range(len(text)):
            with pytest.raises(gm.SealBroken):
                opened(text[:kept])

    def test_swapping_repeating_or_dropping_a_chunk_shows(self) -> None:
        head, (a, b, c, d) = frames(sealed(self.DATA))
        for body in ((b, a, c, d), (a, a, b, c, d), (a, c, d), (a, b, c, d, d), (d, a, b, c)):
            with pytest.raises(gm.SealBroken):
                opened(head + b"".join(body))

    def test_an_addition_shows(self) -> None:
        for more in (b"x", b"x" * FRAME):
            with pytest.raises(gm.SealBroken):
                opened(sealed(self.DATA) + more)

    def test_a_chunk_of_another_file_shows(self) -> None:
        head, body = frames(sealed(self.DATA))
        _, foreign = frames(sealed(self.DATA))
        with pytest.raises(gm.SealBroken):
            opened(head + body[0] + foreign[1] + b"".join(body[2:]))

    def test_any_flipped_bit_shows(self) -> None:
        text = sealed(self.DATA)
        for at in range(len(text)):
            damaged = text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]
            with pytest.raises(gm.GmError):
                opened(damaged)

    def test_another_place_does_not_open_it(self) -> None:
        with pytest.raises(gm.SealBroken):
            opened(sealed(b"x", b"raw/a"), b"raw/b")

    def test_a_head_that_asks_for_huge_chunks_is_refused(self) -> None:
        text = sealed(b"x")
        with pytest.raises(gm.SealBroken, match="bounds"):
            opened(text[: HEAD - 4] + b"\xff\xff\xff\xff" + text[HEAD:])


def test_a_rotated_key_still_opens_old_files() -> None:
    both = gm.KeyRing.of(k1=b"\1" * 32, k2=b"\2" * 32)
    assert b"".join(gm.open_stream(both, [sealed(b"old")], b"raw/x")) == b"old"
