"""Files that are on the disk when a call returns: delta-rs and `os.rename` promise no such thing."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from edulake.common.gm import Sm3

READ_BYTES = 1 << 20


def sync_file(path: Path) -> None:
    """fsync one file, or the entries of one directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(root: Path, files: Iterable[Path]) -> None:
    """fsync files, every directory between them and `root`, and the directory that holds `root`."""
    folders = {root, root.parent}
    for path in files:
        sync_file(path)
        folders.update(folder for folder in path.parents if folder.is_relative_to(root))
    for folder in folders:
        sync_file(folder)


def write_file(path: Path, pieces: Iterable[bytes]) -> tuple[int, str]:
    """Write a file that appears whole or not at all; returns its size in bytes and SM3 (hex)."""
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    digest, size = Sm3(), 0
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_file(path.parent)
    return size, digest.digest().hex()


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each entry on the disk."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_file(each.parent)


def read_pieces(path: Path) -> Iterable[bytes]:
    """The bytes of a file, piece by piece."""
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece


def file_digest(path: Path) -> str:
    """SM3 (hex) of a file's bytes."""
    digest = Sm3()
    for piece in read_pieces(path):
        digest.update(piece)
    return digest.digest().hex()
