"""Is a zip a workbook that is safe to open? Decided from its directory before anything is unpacked.

`zipfile` never gives more bytes of an entry than its directory declares, so declared sizes bound
what the reader can meet.
"""

from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from edulake.ingest.source.readers.limits import Limits, Refusal

ENTRIES_MAX = 2000
#: An entry smaller than this may shrink as well as it likes: it cannot hurt.
HARMLESS_BYTES = 1 << 20
ENCRYPTED = 0x1
NESTED = (".zip", ".xlsx", ".xlsm", ".xlsb", ".xls", ".docx", ".doc", ".rar", ".7z", ".gz")


def open_workbook(path: Path, limits: Limits) -> ZipFile:
    """The opened workbook archive; Refusal for bombs, plain zips, macros, nested and encrypted content."""
    try:
        archive = ZipFile(path)
    except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Refusal(
            "broken-archive", "文件不完整，不是可读的 XLSX", "the file is damaged, not a readable XLSX",
            "重新保存并上传", "save and upload it again",
        ) from error  # fmt: skip
    try:
        _examine(archive.infolist(), path.stat().st_size, limits)
    except Refusal:
        archive.close()
        raise
    return archive


def _examine(entries: list[ZipInfo], packed_bytes: int, limits: Limits) -> None:
    _refuse_bomb(entries, packed_bytes, limits)
    _refuse_strangers({entry.filename.lower() for entry in entries})
    if any(entry.flag_bits & ENCRYPTED for entry in entries):
        raise Refusal(
            "encrypted-archive", "文件有密码", "the file is encrypted", "去掉密码", "remove the password"
        )


def _refuse_bomb(entries: list[ZipInfo], packed_bytes: int, limits: Limits) -> None:
    expanded = sum(entry.file_size for entry in entries)
    ratio = limits.expansion_max_ratio
    swollen = any(
        entry.file_size > HARMLESS_BYTES and entry.file_size > ratio * max(entry.compress_size, 1)
        for entry in entries
    )
    # Entries that share bytes (overlapping zips) declare more packed bytes than the file has.
    overlapping = sum(entry.compress_size for entry in entries) > packed_bytes
    if len(entries) > ENTRIES_MAX or expanded > limits.expanded_max_bytes or swollen or overlapping:
        raise Refusal(
            "archive-bomb",
            f"压缩内容解开后过大或压缩比异常（上限 {limits.expanded_max_bytes >> 20} MiB、{ratio} 倍）",
            f"the archive expands too far (at most {limits.expanded_max_bytes >> 20} MiB and {ratio} times)",
            "另存为 CSV（UTF-8）后报送，或分成几个文件",
            "save it as CSV in UTF-8, or split it",
        )


def _refuse_strangers(names: set[str]) -> None:
    if "xl/workbook.bin" in names:
        raise Refusal(
            "unsupported-format", "不接收 .xlsb", ".xlsb is not accepted", "另存为 .xlsx", "save it as .xlsx"
        )
    if "[content_types].xml" not in names or not any(name.endswith("workbook.xml") for name in names):
        raise Refusal(
            "plain-archive",
            "这是压缩包，不是 Excel 工作簿；一次报送一个数据文件",
            "this is a zip, not an Excel workbook; deliver one data file at a time",
            "解压后逐个文件报送",
            "unpack it and deliver its files one by one",
        )
    if any(name.endswith("vbaproject.bin") for name in names):
        raise Refusal(
            "macro-workbook", "工作簿含有宏", "the workbook holds macros", "另存为 .xlsx", "save it as .xlsx"
        )
    if any(name.endswith(NESTED) or "/embeddings/" in name for name in names):
        raise Refusal(
            "nested-archive",
            "工作簿里嵌有其他文件",
            "the workbook embeds other files",
            "删去嵌入对象",
            "remove them",
        )
