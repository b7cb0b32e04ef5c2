"""What was stored for no batch or for one that never landed, and what was staged for no delivery, goes away.

Only what is old enough and what neither a batch nor the lake's manifest names is removed, under the
lock of its digest, so that a delivery that adopts the same object wins or comes after.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from edulake.common.service import Resources
from edulake.common.telemetry import logger
from edulake.ingest.batch import repository
from edulake.ingest.batch.confirmation import expire
from edulake.ingest.batch.delivery import settings_of
from edulake.ingest.batch.landing import ROWS
from edulake.ingest.batch.receive import discard

log = logger(__name__)
#: Stored objects asked for with one question.
CHUNK = 1000


async def sweep_orphans(resources: Resources, stop: asyncio.Event) -> None:
    """Sweep at start and from time to time."""
    settings = settings_of(resources)
    while not stop.is_set():
        await expire(resources)
        await sweep(resources)
        try:
            await asyncio.wait_for(stop.wait(), settings.sweep_pause_s)
        except TimeoutError:
            continue


async def sweep(resources: Resources) -> list[str]:
    """Remove orphans once; returns the objects' folders, relative to the lake."""
    settings = settings_of(resources)
    before = time.time() - settings.orphan_age_s
    for folder in await asyncio.to_thread(lambda: list(_older(settings.staging, "*", before))):
        await asyncio.to_thread(discard, folder)
    if urlsplit(settings.lake).scheme not in ("", "file"):
        return []  # objects on an object store are not written yet
    lake = Path(urlsplit(settings.lake).path)
    stored = await asyncio.to_thread(lambda: list(_older(lake / "raw", "*/*", before)))
    unnamed: list[Path] = []
    for start in range(0, len(stored), CHUNK):
        unnamed += await _unnamed(resources, stored[start : start + CHUNK])
    removed = [
        str(folder.relative_to(lake)) for folder in unnamed if await _remove_unnamed(resources, folder)
    ]
    if removed:
        log.warning("orphan objects removed", objects=len(removed))
    return removed


async def _unnamed(resources: Resources, folders: Sequence[Path]) -> list[Path]:
    """Those of the folders that no batch names at this moment: few, so that only they are looked at alone."""
    async with resources.database.read() as session:
        named = await repository.named_among(session, [(each.parent.name, each.name) for each in folders])
    return [each for each in folders if (each.parent.name, each.name) not in named]


async def _remove_unnamed(resources: Resources, folder: Path) -> bool:
    dataset, digest = folder.parent.name, folder.name
    async with resources.database.transaction() as session:
        await repository.lock_object(session, dataset, digest)
        if await repository.is_named(session, dataset, digest, f"raw/{dataset}/{digest}/{ROWS}"):
            return False
        await asyncio.to_thread(discard, folder)
    return True


def _older(root: Path, pattern: str, before: float) -> Iterator[Path]:
    """Folders under `root` that nobody has touched since `before` (Unix seconds)."""
    for folder in root.glob(pattern):
        if folder.is_dir() and folder.stat().st_mtime <= before:
            yield folder
