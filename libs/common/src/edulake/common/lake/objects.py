"""Sealed objects: delivered files and quarantined rows, encrypted for the place they stand in.

`<zone>/<dataset>/<digest>/<name>` under the lake's folder. An object appears whole or not at all and
is never rewritten. Blocking; the store runs it in a thread.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

from edulake.common.errors import NotFound, Unavailable
from edulake.common.gm import KeyRing, open_stream, seal_stream
from edulake.common.lake import durable
from edulake.common.lake.manifest import DataFile

#: Plaintext up to this size stays in memory; a larger one goes to a file without a name.
SPOOL_BYTES = 64 << 20


class ObjectMissing(NotFound):
    code, title_zh, title_en = "lake-object-missing", "数据湖对象不存在", "No such object in the lake"


class ObjectsElsewhere(Unavailable):
    code, title_zh, title_en = (
        "lake-objects-local-only",
        "对象存储暂不支持原始文件",
        "Sealed objects are not yet kept on object stores",
    )


class Objects:
    """The sealed objects of one lake; `folder` is None on an object store, where every call is refused."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def put(self, key: str, chunks: Iterable[bytes], ring: KeyRing) -> DataFile:
        """Seal and store; an object that exists already is left as it is and described."""
        path = self.path(key)
        if path.exists():
            return DataFile(key, path.stat().st_size, durable.file_digest(path))
        size, digest = durable.write_file(path, seal_stream(ring, chunks, key.encode()))
        return DataFile(key, size, digest)

    def open(self, key: str, ring: KeyRing) -> IO[bytes]:
        """The whole verified plaintext, seekable; raises ObjectMissing, SealBroken or UnknownKey."""
        path = self.path(key)
        if not path.exists():
            raise ObjectMissing(
                f"对象不存在：{key}", f"no object {key}", mend_zh="运行 verify 检查", mend_en="run verify"
            )
        plain = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - the caller closes it
        try:
            for piece in open_stream(ring, durable.read_pieces(path), key.encode()):
                plain.write(piece)
            plain.seek(0)
        except BaseException:
            plain.close()
            raise
        return cast(IO[bytes], plain)

    def path(self, key: str) -> Path:
        if self._folder is None:
            raise ObjectsElsewhere(
                "原始文件目前只能存放在本地目录",
                "sealed objects need a local directory for now",
                mend_zh="将 EDULAKE_LAKE_URL 设为目录",
                mend_en="set EDULAKE_LAKE_URL to a directory",
            )
        return self._folder / key
