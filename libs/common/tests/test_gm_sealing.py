"""Sealed values, tokens, rings and providers."""

import logging
import os
import threading
from pathlib import Path
from typing import Literal

import pytest
from edulake.common import gm
from edulake.common.gm import provider as provider_module
from edulake.common.settings import Settings
from hypothesis import given
from hypothesis import strategies as st

RING = gm.KeyRing.of(k1=b"\1" * 32)
OTHER = gm.KeyRing.of(k1=b"\2" * 32)


class TestSeal:
    @given(st.binary(max_size=300), st.binary(max_size=50))
    def test_what_is_sealed_opens_to_the_same(self, plaintext: bytes, aad: bytes) -> None:
        assert gm.open_sealed(RING, gm.seal(RING, plaintext, aad), aad) == plaintext

    def test_the_text_has_the_documented_form(self) -> None:
        version, kid, nonce, sealed = gm.seal(RING, b"310101", b"a").split(".")
        assert (version, kid, len(nonce), len(sealed)) == ("v1", "k1", 16, 30)  # 12 and 6+16 bytes in base64

    def test_sealing_again_gives_the_same_text_so_that_reprocessing_changes_nothing(self) -> None:
        assert gm.seal(RING, b"value", b"place") == gm.seal(gm.KeyRing.of(k1=b"\1" * 32), b"value", b"place")

    @given(st.binary(max_size=8), st.binary(max_size=8), st.binary(max_size=8), st.binary(max_size=8))
    def test_a_nonce_never_serves_two_messages(self, a: bytes, b: bytes, c: bytes, d: bytes) -> None:
        # ("ab", "c") against ("a", "bc") is the case that a bare concatenation gets wrong.
        for left, right in (((a, b), (c, d)), ((a + b, c), (a, b + c))):
            same = gm.seal(RING, *left).split(".")[2] == gm.seal(RING, *right).split(".")[2]
            assert same == (left == right)

    def test_another_place_does_not_open_it(self) -> None:
        with pytest.raises(gm.SealBroken):
            gm.open_sealed(RING, gm.seal(RING, b"value", b"row 1"), b"row 2")

    def test_another_key_of_the_same_name_does_not_open_it(self) -> None:
        with pytest.raises(gm.SealBroken):
            gm.open_sealed(OTHER, gm.seal(RING, b"value", b""), b"")

    @given(st.data())
    def test_no_changed_character_goes_unnoticed(self, data: st.DataObject) -> None:
        text = gm.seal(RING, b"13800001234", b"place")
        at = data.draw(st.integers(0, len(text) - 1))
        new = data.draw(st.characters(codec="ascii").filter(lambda c: c != text[at]))
        with pytest.raises(gm.GmError):
            gm.open_sealed(RING, text[:at] + new + text[at + 1 :], b"place")

    @pytest.mark.parametrize(
        "text", ["", "v1", "v1.k1.AA.AA", "v1.k1..", "v2.k1.AAAAAAAAAAAAAAAA.AAAA", "a.b.c.d.e"]
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(gm.GmError):
            gm.open_sealed(RING, text, b"")

    def test_errors_hold_no_value(self) -> None:
        text = gm.seal(RING, b"value", b"row 1")
        with pytest.raises(gm.SealBroken) as caught:
            gm.open_sealed(RING, text, b"row 2")
        assert text not in str(caught.value)
        assert "row" not in str(caught.value)

    def test_a_key_never_shows_its_secret(self) -> None:
        assert "01" * 4 not in repr(RING.current)
        assert "\\x01" not in repr(RING.current)


class TestSealMany:
    def test_a_column_equals_its_values_sealed_one_by_one(self) -> None:
        values = ["张三", None, "", "李四"]
        places = [b"0", b"1", b"2", b"3"]
        expected = [
            None if v is None else gm.seal(RING, v.encode(), p) for v, p in zip(values, places, strict=True)
        ]
        assert gm.seal_many(RING, values, places) == expected

    def test_one_place_may_serve_the_whole_column(self) -> None:
        assert gm.seal_many(RING, ["a", "a"], b"p") == [gm.seal(RING, b"a", b"p")] * 2

    def test_a_place_too_few_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="shorter"):
            gm.seal_many(RING, ["a", "b"], [b"1"])


class TestTokenise:
    def test_equal_values_join_and_others_do_not(self) -> None:
        a, b, c = gm.tokenise_many(RING, ["x", "x", "y"], "identity")
        assert a == b != c
        assert a == gm.tokenise(RING, "x", "identity")

    def test_domains_and_keys_never_join(self) -> None:
        tokens = {
            gm.tokenise(ring, "x", domain) for ring in (RING, OTHER) for domain in ("identity", "phone")
        }
        assert len(tokens) == 4

    def test_none_stays_none(self) -> None:
        assert gm.tokenise_many(RING, [None], "identity") == [None]

    @given(st.text(min_size=6, max_size=30))
    def test_a_token_is_of_one_length_whatever_the_value(self, value: str) -> None:
        assert len(gm.tokenise(RING, value, "d")) == len("t1.k1.") + 43


class TestKeyRing:
    def test_the_last_key_is_current_and_older_ones_still_open(self) -> None:
        old = gm.seal(gm.KeyRing.of(k1=b"\1" * 32), b"value", b"")
        both = gm.KeyRing.of(k1=b"\1" * 32, k2=b"\2" * 32)
        assert gm.seal(both, b"value", b"").startswith("v1.k2.")
        assert gm.open_sealed(both, old, b"") == b"value"

    def test_an_unknown_key_id_is_read_at_once_and_a_new_current_one_within_seconds(self) -> None:
        keys, at = {"k1": b"\1" * 32}, [100.0]
        ring = gm.KeyRing(lambda: dict(keys), clock=lambda: at[0])
        assert ring.current.kid == "k1"
        keys["k2"] = b"\2" * 32
        at[0] += 0.5
        assert ring.current.kid == "k1"
        assert ring.get("k2").kid == "k2"
        keys["k3"] = b"\3" * 32
        at[0] += 3.5
        assert ring.current.kid == "k3"

    def test_forged_key_ids_do_not_cause_a_flood_of_reads(self) -> None:
        reads = []
        ring = gm.KeyRing(lambda: reads.append(1) or {"k1": b"\1" * 32}, clock=lambda: 100.0)
        for number in range(50):
            with pytest.raises(gm.UnknownKey):
                ring.get(f"k{number + 2}")
        assert len(reads) == 1

    @pytest.mark.parametrize("secrets", [{}, {"k.1": b"\1" * 32}, {"k1": b"short"}])
    def test_an_unusable_ring_is_refused(self, secrets: dict[str, bytes]) -> None:
        with pytest.raises(gm.GmError):
            _ = gm.KeyRing(lambda: secrets).current


class TestFileKeyProvider:
    def test_keys_are_made_once_for_their_owner_alone(self, tmp_path: Path) -> None:
        first = gm.FileKeyProvider(tmp_path / "secrets", "development").ring("seal").current
        again = gm.FileKeyProvider(tmp_path / "secrets", "development").ring("seal").current
        assert first == again
        assert (tmp_path / "secrets" / "seal.keys").stat().st_mode & 0o777 == 0o600
        assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["seal.keys"]

    def test_processes_that_race_agree_on_one_key(self, tmp_path: Path) -> None:
        found: list[gm.Key] = []
        gate = threading.Barrier(8)

        def ask() -> None:
            gate.wait()
            found.append(gm.FileKeyProvider(tmp_path, "development").ring("token").current)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1
        assert len(found) == 8

    def test_rotation_in_one_process_is_followed_by_another_without_restart(self, tmp_path: Path) -> None:
        writer = gm.FileKeyProvider(tmp_path, "development")
        reader = gm.FileKeyProvider(tmp_path, "development").ring("seal")
        old = gm.seal(writer.ring("seal"), b"before", b"")
        assert gm.open_sealed(reader, old, b"") == b"before"
        kid = writer.rotate("seal")
        reader._loaded_at -= 1  # a second has passed
        fresh = gm.seal(gm.FileKeyProvider(tmp_path, "development").ring("seal"), b"after", b"")
        assert fresh.startswith(f"v1.{kid}.")
        assert gm.open_sealed(reader, fresh, b"") == b"after"
        assert gm.open_sealed(reader, old, b"") == b"before"
        assert (tmp_path / "seal.keys").stat().st_mode & 0o777 == 0o600

    def test_it_warns_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                gm.FileKeyProvider(tmp_path, "development")
        assert [record.message for record in caplog.records] == [
            "development keys in files, not for real data"
        ]

    def test_it_refuses_production(self, tmp_path: Path) -> None:
        with pytest.raises(gm.KeyProviderRefused, match="KMS"):
            gm.FileKeyProvider(tmp_path, "production")

    def test_an_unknown_purpose_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(gm.KeyProviderRefused, match="purpose"):
            gm.FileKeyProvider(tmp_path, "development").ring("../seal")

    def test_a_damaged_file_is_named_and_not_shown(self, tmp_path: Path) -> None:
        (tmp_path / "seal.keys").write_text("k1 0011 what")
        with pytest.raises(gm.GmError, match=r"seal\.keys") as caught:
            _ = gm.FileKeyProvider(tmp_path, "development").ring("seal").current
        assert "0011" not in str(caught.value)


class TestMountedKeys:
    def settings(self, folder: Path) -> Settings:
        return Settings(env="production", public_url="https://lake.example", secrets_dir=folder)

    def test_production_starts_only_when_every_ring_is_mounted(self, tmp_path: Path) -> None:
        for purpose in gm.PURPOSES[:-1]:
            (tmp_path / f"{purpose}.keys").write_text(f"m1 {os.urandom(32).hex()}\n")
        with pytest.raises(gm.KeyProviderRefused, match=r"page\.keys is missing"):
            gm.open_keys(self.settings(tmp_path))
        (tmp_path / "page.keys").write_text(f"m1 {os.urandom(32).hex()}\n")
        assert gm.open_keys(self.settings(tmp_path)).ring("seal").current.kid == "m1"
        assert not isinstance(gm.open_keys(self.settings(tmp_path)), gm.FileKeyProvider)

    @pytest.mark.parametrize("env", ["production", "development"])
    def test_a_process_is_given_the_rings_it_says_it_needs_and_no_other(
        self, tmp_path: Path, env: Literal["production", "development"]
    ) -> None:
        class SealOnly(Settings):
            rings = ("seal",)

        (tmp_path / "seal.keys").write_text(f"m1 {os.urandom(32).hex()}\n")
        keys = gm.open_keys(SealOnly(env=env, public_url="https://lake.example", secrets_dir=tmp_path))
        assert keys.ring("seal").current.kid == "m1"
        with pytest.raises(gm.KeyProviderRefused, match="it has: seal"):
            keys.ring("token")
        assert not (tmp_path / "token.keys").exists()

    def test_development_makes_its_own(self, tmp_path: Path) -> None:
        provider_module._warned.clear()
        keys = gm.open_keys(Settings(secrets_dir=tmp_path))
        assert keys.ring("audit").current.kid
