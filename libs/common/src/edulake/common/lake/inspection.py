"""Looking after the lake: what differs between the manifests and the disk, and putting it right."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from deltalake.exceptions import DeltaError
from edulake.common.lake import delta, durable
from edulake.common.lake.frame import content_digest, parts_digest
from edulake.common.lake.manifest import Manifest, Part

Kind = Literal[
    "missing-file",
    "truncated-file",
    "changed-file",
    "extra-file",
    "damaged-log",
    "unreadable",
    "wrong-digest",
]
WORDS: dict[Kind, tuple[str, str]] = {
    "missing-file": ("文件缺失", "file is missing"),
    "truncated-file": ("文件大小不符", "file has another size"),
    "changed-file": ("文件内容被改动", "file has other bytes"),
    "extra-file": ("没有清单记录的文件", "file that no manifest names"),
    "damaged-log": ("事务日志损坏", "commit in the log is damaged"),
    "unreadable": ("该版本无法读取", "version cannot be read"),
    "wrong-digest": ("内容摘要不符", "content has another digest"),
}


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One difference between a manifest and the lake."""

    kind: Kind
    zone: str
    table: str
    version: int | None
    path: str

    def __str__(self) -> str:
        chinese, english = WORDS[self.kind]
        place = f"{self.zone}/{self.table}" + (f" v{self.version}" if self.version else "")
        return f"{place} {self.path}: {chinese} / {english}"


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that was put right, or (`is_mended` False) that a person has to put right."""

    zone: str
    table: str
    zh: str
    en: str
    is_mended: bool = True


def check_files(root: Path, manifests: Iterable[Manifest], *, deep: bool) -> Iterator[Discrepancy]:
    """Every file that a readable version needs: there, of its size and, when `deep`, of its bytes."""
    seen: set[Path] = set()
    for manifest in manifests:
        for file in manifest.files:
            path = root / file.path
            if manifest.vacuumed or path in seen:
                continue
            seen.add(path)
            kind = _state(path, file.size, file.sm3 if deep else "")
            if kind:
                yield Discrepancy(kind, manifest.zone, manifest.table, manifest.version, file.path)


def _state(path: Path, size: int, digest: str) -> Kind | None:
    if not path.is_file():
        return "missing-file"
    if path.stat().st_size != size:
        return "truncated-file"
    return "changed-file" if digest and durable.file_digest(path) != digest else None


def check_extra(folder: Path, manifests: list[Manifest]) -> Iterator[Discrepancy]:
    """Data files of a table that no manifest names (a rolled-back write leaves them until a vacuum)."""
    named = {file.path for manifest in manifests for file in manifest.files}
    for path in sorted(folder.rglob("*.parquet")):
        name = str(path.relative_to(folder))
        if not name.startswith("_delta_log/") and name not in named:
            yield Discrepancy("extra-file", manifests[0].zone, manifests[0].table, None, name)


def check_log(table: delta.Table, current: Manifest, log: Mapping[int, str]) -> Iterator[Discrepancy]:
    """The commits of a table, and whether its current version opens."""
    for version, text in log.items():
        path = table.commit_path(version)
        if path and (not path.exists() or path.read_text(errors="replace") != text):
            yield Discrepancy("damaged-log", current.zone, current.table, None, path.name)
    try:
        table.open(current.delta_version)
        table.open()
    except (DeltaError, OSError):
        yield Discrepancy("unreadable", current.zone, current.table, current.version, "_delta_log")


def check_content(table: delta.Table, manifest: Manifest) -> Iterator[Discrepancy]:
    """Read a version again and compare its digest."""
    try:
        frame = delta.scan(table, manifest.delta_version or 0).collect()
    except (DeltaError, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        yield Discrepancy("unreadable", manifest.zone, manifest.table, manifest.version, "")
        return
    if _digest(frame, manifest) != manifest.content_digest:
        yield Discrepancy("wrong-digest", manifest.zone, manifest.table, manifest.version, "")


def _digest(frame: pl.DataFrame, manifest: Manifest) -> str:
    if manifest.parts is None:
        return content_digest(frame)
    found: dict[str, Part] = {
        key: {"digest": content_digest(rows), "rows": rows.height}
        for key, rows in delta.split(frame, manifest.parts).items()
    }
    return parts_digest(found) if sum(part["rows"] for part in found.values()) == frame.height else ""


def mend(table: delta.Table, current: Manifest, log: Mapping[int, str]) -> list[Repair]:
    """Repair one table, then look whether the files of its current version are there."""
    place = (current.zone, current.table)
    try:
        done = [Repair(*place, zh, en) for zh, en in repair(table, current, log)]
    except (DeltaError, OSError) as error:
        kind = type(error).__name__
        done = [Repair(*place, f"无法修复（{kind}）", f"cannot be repaired ({kind})", is_mended=False)]
    for found in check_files(table.folder, [current], deep=False) if table.folder else ():
        chinese, english = WORDS[found.kind]
        done.append(Repair(*place, f"{found.path} {chinese}", f"{found.path}: {english}", is_mended=False))
    return done


def repair(table: delta.Table, current: Manifest, log: Mapping[int, str]) -> list[tuple[str, str]]:
    """Bring a table on disk back to its manifest; returns what was done, in Chinese and English."""
    done: list[tuple[str, str]] = []
    if table.folder is not None:
        for version, text in log.items():
            path = table.commit_path(version)
            if path and (not path.exists() or path.read_text(errors="replace") != text):
                durable.write_file(path, [text.encode()])
                done.append((f"重写事务日志 {path.name}", f"rewrote commit {path.name}"))
        torn = delta.set_torn_commits_aside(table, current)
        done += [(f"移开损坏的事务日志 {name}", f"set torn commit {name} aside") for name in torn]
        if _opens_only_without_checkpoints(table, current):
            done.append(("移开损坏的检查点", "set damaged checkpoints aside"))
    before = table.open().version()
    head = delta.heal(table, current)
    if head is not None and head.version() != before:
        done.append(
            (f"恢复到清单版本 {current.version}", f"restored the head to manifest version {current.version}")
        )
    return done


def _opens_only_without_checkpoints(table: delta.Table, current: Manifest) -> bool:
    """Checkpoints only save time (all commits are kept), so a damaged one is renamed away."""
    try:
        table.open(current.delta_version)
    except (DeltaError, OSError):
        assert table.folder is not None  # noqa: S101 - the caller asked
        for path in (table.folder / "_delta_log").glob("[_0-9]*checkpoint*"):
            path.rename(path.with_name(f"_torn-{path.name}"))
        table.open(current.delta_version)
        return True
    return False
