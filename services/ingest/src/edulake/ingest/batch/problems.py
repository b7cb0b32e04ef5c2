"""Every way a delivery is refused, each with its own code and words."""

from functools import cache

from edulake.common.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    Problem,
    TooLarge,
    TooManyRequests,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)
from edulake.ingest.source.readers.limits import Refusal


class UnknownDataset(NotFound):
    code, title_zh, title_en = "unknown-dataset", "没有这个数据集", "No such dataset"


class NotThisSourcesDataset(NotFound):
    code, title_zh, title_en = (
        "dataset-not-of-source",
        "来源没有登记这个数据集",
        "Not a dataset of this source",
    )


class SourceSuspended(Forbidden):
    code, title_zh, title_en = "source-suspended", "来源已停用", "Source is suspended"


class BatchNotFound(NotFound):
    code, title_zh, title_en = "unknown-batch", "没有这个批次", "No such batch"


class TooLate(Conflict):
    code, title_zh, title_en = "too-late-to-withdraw", "批次已治理，不能撤回", "Too late to withdraw"


class FiguresChanged(Conflict):
    code, title_zh, title_en = "figures-changed", "将替代的数据已有变化", "What it would replace has changed"


class NothingToConfirm(Conflict):
    code, title_zh, title_en = "nothing-to-confirm", "批次不在等待确认", "The batch waits for no confirmation"


class OtherRows(Unprocessable):
    code, title_zh, title_en = (
        "other-number-of-rows",
        "行数与声明的不同",
        "The file has another number of rows than stated",
    )


class WrongHeader(Unprocessable):
    code, title_zh, title_en = "wrong-header", "表头不符", "Wrong header"


class PersonalHeader(Unprocessable):
    code, title_zh, title_en = "personal-header", "表头里有个人数据", "A header holds personal data"


class PersonalName(Unprocessable):
    code, title_zh, title_en = "personal-name", "名称里有个人数据", "A name holds personal data"


class Truncated(BadRequest):
    code, title_zh, title_en = "truncated-upload", "上传不完整", "Upload is incomplete"


class BadForm(BadRequest):
    code, title_zh, title_en = "bad-form", "表单有误", "Form is not well-formed"


class MissingPart(Unprocessable):
    code, title_zh, title_en = "missing-part", "缺少必需的部分", "A required part is missing"


class Stalled(Problem):
    status, code, title_zh, title_en = 408, "upload-stalled", "上传停滞", "Upload stood still"


class NotMultipart(UnsupportedMedia):
    code, title_zh, title_en = "not-multipart", "应为 multipart/form-data", "Expected multipart/form-data"


class UploadTooLarge(TooLarge):
    code, title_zh, title_en = "upload-too-large", "文件过大", "File is too large"


class Busy(TooManyRequests):
    code, title_zh, title_en = "too-many-deliveries", "同时报送过多", "Too many deliveries at once"


class StorageFull(Unavailable):
    code, title_zh, title_en = "storage-full", "存储空间不足", "Storage is full"


class ReaderBroken(Unavailable):
    code, title_zh, title_en = "reader-failed", "读取程序异常", "The reader failed"


_KINDS: dict[str, type[Problem]] = {
    "unsupported-format": UnsupportedMedia,
    "unsupported-encoding": UnsupportedMedia,
    "binary-content": UnsupportedMedia,
    "plain-archive": UnsupportedMedia,
    "macro-workbook": UnsupportedMedia,
    "nested-archive": UnsupportedMedia,
    "encrypted-archive": UnsupportedMedia,
    "archive-bomb": TooLarge,
    "too-many-rows": TooLarge,
    "too-complex": TooLarge,
}


@cache
def _kind(code: str) -> type[Problem]:
    base = _KINDS.get(code, Unprocessable)
    words = {"code": code, "title_zh": "文件无法接收", "title_en": "File cannot be accepted"}
    return type("Refused", (base,), words)


def refused(refusal: Refusal) -> Problem:
    """What a reader refused, as a problem with the reader's own code."""
    return _kind(refusal.code)(
        refusal.zh, refusal.en, mend_zh=refusal.mend_zh, mend_en=refusal.mend_en, where=refusal.where
    )
