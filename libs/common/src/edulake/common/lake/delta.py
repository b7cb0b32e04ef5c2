"""One Delta table: writing, restoring, healing. Blocking; the caller holds the table's lock.

The Delta commit comes before the manifest row, so a crash or a rollback leaves a Delta version nobody
vouches for. Every write therefore starts by healing: bringing the table's head back to the manifest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson
import polars as pl
from deltalake import DeltaTable, PostCommitHookProperties, write_deltalake
from deltalake.exceptions import DeltaError
from edulake.common import faults
from edulake.common.lake import durable
from edulake.common.lake.frame import content_digest, parts_digest, storable
from edulake.common.lake.manifest import DataFile, Draft, Manifest, Part

#: The log keeps every commit: the restore window is the manifest's business, not delta-rs' clock's.
HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


@dataclass(frozen=True, slots=True)
class Table:
    """Where a Delta table lives; `folder` is None on an object store."""

    uri: str
    storage_options: dict[str, str] | None
    folder: Path | None

    def open(self, version: int | None = None) -> DeltaTable:
        """The table at a Delta version; raises deltalake's errors."""
        return DeltaTable(self.uri, version=version, storage_options=self.storage_options)

    def exists(self) -> bool:
        return DeltaTable.is_deltatable(self.uri, self.storage_options)

    def commit_path(self, version: int) -> Path | None:
        return self.folder and self.folder / "_delta_log" / f"{version:020}.json"


def scan(table: Table, version: int) -> pl.LazyFrame:
    return pl.scan_delta(table.open(version))


def write(
    table: Table,
    frame: pl.DataFrame,
    current: Manifest | None,
    *,
    partition: Mapping[str, str] | None,
) -> Draft:
    """Write a frame as a new Delta version, on disk when this returns.

    With `partition` only the rows of that partition are replaced (an empty frame removes them).
    """
    frame = storable(_with_partition(frame, partition))
    if table.folder is not None:
        durable.make_folder(table.folder)
    head = heal(table, current)
    # What a lost first writer may have left is overwritten whole.
    part = partition if current is not None else None
    options: dict[str, Any] = {
        "schema_mode": "merge" if part else "overwrite",
        "partition_by": None if part else sorted(partition or ()),
        "predicate": _predicate(part) if part else None,
    }
    write_deltalake(
        head or table.uri,
        frame,
        mode="overwrite",
        storage_options=table.storage_options,
        post_commithook_properties=HOOKS,
        **options,
    )
    faults.point_in_thread("lake.after_delta_commit")
    draft = _draft(table, table.open(), current)
    parts = _parts(frame, current, partition)
    if parts is not None:
        return _with(draft, parts_digest(parts), sum(part["rows"] for part in parts.values()), parts)
    return _with(draft, content_digest(frame), frame.height, None)


def restore(table: Table, current: Manifest, target: Manifest) -> Draft:
    """Make an old version the head again, as a new Delta commit."""
    head = heal(table, current)
    if head is None or target.delta_version is None:
        raise FileNotFoundError(f"no Delta table at {table.uri}")
    head.restore(target.delta_version, post_commithook_properties=HOOKS)
    draft = _draft(table, table.open(), current, known=target.files)
    return _with(draft, target.content_digest, target.row_count, target.parts, target.version)


def heal(table: Table, current: Manifest | None) -> DeltaTable | None:
    """The head of the table, brought to what the manifest says; None when there is no table yet."""
    if not table.exists():
        return None
    try:
        head = table.open()
    except (DeltaError, OSError):
        if not set_torn_commits_aside(table, current):
            raise
        return heal(table, current)
    if current is not None and current.delta_version is not None and not _is_at(head, current):
        head.restore(current.delta_version, post_commithook_properties=HOOKS)
    return head


def set_torn_commits_aside(table: Table, current: Manifest | None) -> list[str]:
    """Rename commits after the manifest's that are no longer JSON; returns their names."""
    if table.folder is None:
        return []
    known = -1 if current is None or current.delta_version is None else current.delta_version
    torn: list[str] = []
    for path in sorted((table.folder / "_delta_log").glob("*.json")):
        if path.stem.isdigit() and int(path.stem) > known and not _is_commit(path):
            path.rename(path.with_name(f"_torn-{path.name}"))
            torn.append(path.name)
    return torn


def _is_commit(path: Path) -> bool:
    try:
        lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    except orjson.JSONDecodeError:
        return False
    return bool(lines)


def _is_at(head: DeltaTable, current: Manifest) -> bool:
    if head.version() == current.delta_version:
        return True
    return set(_sizes(head)) == {file.path for file in current.files}


def _sizes(head: DeltaTable) -> dict[str, int]:
    """{path relative to the table: size in bytes}; the log writes paths as URLs."""
    actions = pl.DataFrame(head.get_add_actions(flatten=True))
    pairs = zip(actions["path"].to_list(), actions["size_bytes"].to_list(), strict=True)
    return {unquote(path): size for path, size in pairs}


def _draft(
    table: Table, head: DeltaTable, current: Manifest | None, known: tuple[DataFile, ...] = ()
) -> Draft:
    """Files and commits of a new head, all on disk."""
    before = {file.path: file for file in (*known, *(current.files if current else ()))}
    sizes = _sizes(head)
    fresh = sizes.keys() - before.keys()
    commits: dict[int, str] = {}
    if table.folder is not None:
        start = 0 if current is None else (current.delta_version or 0) + 1
        paths = {number: table.commit_path(number) for number in range(start, head.version() + 1)}
        logs = [path for path in paths.values() if path and path.exists()]
        checkpoints = list((table.folder / "_delta_log").glob("*checkpoint*"))
        durable.sync_all(table.folder, [*(table.folder / name for name in fresh), *logs, *checkpoints])
        commits = {number: path.read_text() for number, path in paths.items() if path and path.exists()}
    files = tuple(before.get(name) or _data_file(table, name, size) for name, size in sorted(sizes.items()))
    return Draft(files=files, row_count=0, content_digest="", delta_version=head.version(), log=commits)


def _data_file(table: Table, name: str, size: int) -> DataFile:
    return DataFile(name, size, durable.file_digest(table.folder / name) if table.folder else "")


def _with(
    draft: Draft,
    digest: str,
    rows: int,
    parts: dict[str, Part] | None,
    restored_from: int | None = None,
) -> Draft:
    return Draft(draft.files, rows, digest, draft.delta_version, parts, draft.log, restored_from)


def _with_partition(frame: pl.DataFrame, partition: Mapping[str, str] | None) -> pl.DataFrame:
    for name, value in (partition or {}).items():
        if name in frame.columns and frame.height != frame.filter(pl.col(name) == value).height:
            raise ValueError(f"rows of another partition in column {name!r}")
    return frame.with_columns(pl.lit(value).alias(name) for name, value in (partition or {}).items())


def _predicate(partition: Mapping[str, str]) -> str:
    quoted = {name: value.replace("'", "''") for name, value in partition.items()}
    return " AND ".join(f"\"{name}\" = '{value}'" for name, value in sorted(quoted.items()))


def _parts(
    frame: pl.DataFrame, current: Manifest | None, partition: Mapping[str, str] | None
) -> dict[str, Part] | None:
    if partition is None:
        return None
    if current is not None and current.parts is None:
        raise ValueError("the table is not partitioned")
    parts = dict(current.parts or {}) if current else {}
    key = part_key(partition)
    parts.pop(key, None)
    if frame.height:
        parts[key] = {"digest": content_digest(frame), "rows": frame.height}
    return parts


def part_key(partition: Mapping[str, str]) -> str:
    """The name of a partition in a manifest: its values as JSON with sorted names."""
    return orjson.dumps(dict(partition), option=orjson.OPT_SORT_KEYS).decode()


def split(frame: pl.DataFrame, keys: Iterable[str]) -> dict[str, pl.DataFrame]:
    """The rows of each partition named in a manifest."""
    return {
        key: frame.filter(*(pl.col(name) == value for name, value in orjson.loads(key).items()))
        for key in keys
    }


def vacuum(table: Table, current: Manifest | None, keep: Sequence[int]) -> int:
    """Delete data files that no kept Delta version needs; returns their number."""
    head = heal(table, current)
    if head is None:
        return 0
    deleted = head.vacuum(
        retention_hours=0,
        dry_run=False,
        enforce_retention_duration=False,
        full=True,
        keep_versions=list(keep),
        post_commithook_properties=HOOKS,
    )
    return len(deleted)
