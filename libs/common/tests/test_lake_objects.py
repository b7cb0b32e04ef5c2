"""Sealed objects: whole or absent, bound to their place, verified before anyone reads them."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from edulake.common import gm
from edulake.common.db import Database
from edulake.common.lake import Lake, ObjectMissing, ObjectsElsewhere

RING = gm.KeyRing.of(k1=b"\1" * 32)
TEXT = "学校代码,学校名称\n2131000001,测试小学\n".encode()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url.replace("{role}", "edulake_ingest"))
    yield database
    await database.close()


async def content(lake: Lake, dataset: str = "schools", digest: str = "d1", name: str = "original") -> bytes:
    async with lake.open_raw(dataset, digest, name, RING) as file:
        return file.read()


class TestPut:
    async def test_what_is_put_is_sealed_on_disk_and_opens_whole(self, lake: Lake, tmp_path: Path) -> None:
        stored = await lake.put_raw("schools", "d1", "original", [TEXT[:9], TEXT[9:]], RING)
        on_disk = (tmp_path / "lake" / "raw/schools/d1/original").read_bytes()
        assert stored.path == "raw/schools/d1/original"
        assert (stored.size, stored.sm3) == (len(on_disk), gm.sm3_hex(on_disk))
        assert TEXT[:12] not in on_disk
        assert await content(lake) == TEXT

    async def test_putting_again_leaves_the_first_as_it_is(self, lake: Lake) -> None:
        first = await lake.put_raw("schools", "d1", "original", [TEXT], RING)
        assert await lake.put_raw("schools", "d1", "original", [b"other"], RING) == first
        assert await content(lake) == TEXT

    async def test_a_delivery_that_breaks_off_leaves_nothing(self, lake: Lake, tmp_path: Path) -> None:
        def broken() -> Iterator[bytes]:
            yield TEXT
            raise ConnectionError("the sender is gone")

        with pytest.raises(ConnectionError):
            await lake.put_raw("schools", "d1", "original", broken(), RING)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        await lake.put_raw("schools", "d1", "original", [TEXT], RING)
        assert await content(lake) == TEXT

    async def test_file_and_folders_are_flushed_before_it_returns(
        self, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flushed: list[str] = []
        real = os.fsync

        def spy(descriptor: int) -> None:
            flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", spy)
        await lake.put_raw("schools", "d1", "original", [TEXT], RING)
        root = tmp_path / "lake" / "raw/schools/d1"
        names = {path.removeprefix(str(tmp_path)) for path in flushed}
        assert any(name.endswith(".tmp") for name in names)  # the file, under its first name
        assert names >= {"", "/lake", "/lake/raw", "/lake/raw/schools", "/lake/raw/schools/d1"}
        assert (root / "original").stat().st_mode & 0o777 == 0o600


class TestOpen:
    async def test_a_missing_object_is_named(self, lake: Lake) -> None:
        with pytest.raises(ObjectMissing, match="raw/schools/d9/original"):
            await content(lake, digest="d9")

    async def test_an_object_moved_to_another_place_does_not_open(self, lake: Lake, tmp_path: Path) -> None:
        await lake.put_raw("schools", "d1", "original", [TEXT], RING)
        other = tmp_path / "lake" / "raw/schools/d2"
        other.mkdir()
        (tmp_path / "lake" / "raw/schools/d1/original").rename(other / "original")
        with pytest.raises(gm.SealBroken):
            await content(lake, digest="d2")

    @pytest.mark.parametrize("cut", [0, 10, -1])
    async def test_a_cut_object_gives_no_byte(self, lake: Lake, tmp_path: Path, cut: int) -> None:
        await lake.put_raw("schools", "d1", "original", [TEXT], RING)
        path = tmp_path / "lake" / "raw/schools/d1/original"
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(gm.SealBroken):
            await content(lake)

    async def test_the_plaintext_has_no_name_on_the_disk(
        self, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("edulake.common.lake.objects.SPOOL_BYTES", 10)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
        (tmp_path / "tmp").mkdir()
        await lake.put_raw("schools", "d1", "original", [TEXT], RING)
        async with lake.open_raw("schools", "d1", "original", RING) as file:
            assert list((tmp_path / "tmp").iterdir()) == []
            assert file.read() == TEXT
            file.seek(0)
            assert file.read(3) == TEXT[:3]
        assert file.closed


class TestRecord:
    async def test_a_batch_is_vouched_for_once(self, database: Database, lake: Lake) -> None:
        stored = await lake.put_raw("schools", "d1", "original", [TEXT], RING)
        manifests = []
        for _ in range(2):
            async with database.transaction() as session:
                manifests.append(
                    await lake.record_objects(
                        session, "schools", [stored], batch_id="b1", content_digest="d1", row_count=1
                    )
                )
        assert manifests[0] == manifests[1]
        assert (manifests[0].version, manifests[0].delta_version, manifests[0].files) == (1, None, (stored,))

    async def test_verify_names_a_lost_a_cut_and_a_changed_object(
        self, database: Database, lake: Lake, tmp_path: Path
    ) -> None:
        for number in range(4):
            stored = await lake.put_raw("schools", f"d{number}", "original", [TEXT], RING)
            async with database.transaction() as session:
                await lake.record_objects(
                    session,
                    "schools",
                    [stored],
                    batch_id=f"b{number}",
                    content_digest=f"d{number}",
                    row_count=1,
                )
        path = tmp_path / "lake" / "raw/schools"
        (path / "d1/original").unlink()
        (path / "d2/original").write_bytes(b"short")
        data = bytearray((path / "d3/original").read_bytes())
        data[-1] ^= 1
        (path / "d3/original").write_bytes(data)
        async with database.read() as session:
            shallow, deep = await lake.verify(session), await lake.verify(session, deep=True)
        assert [each.kind for each in shallow] == ["missing-file", "truncated-file"]
        assert [each.kind for each in deep] == ["missing-file", "truncated-file", "changed-file"]
        assert str(deep[0]) == "raw/schools v2 raw/schools/d1/original: 文件缺失 / file is missing"


async def test_an_object_store_takes_no_objects_yet_and_says_so() -> None:
    lake = Lake("s3://bucket/lake", {"AWS_REGION": "x"})
    with pytest.raises(ObjectsElsewhere, match="local directory"):
        await lake.put_raw("schools", "d1", "original", [TEXT], RING)
