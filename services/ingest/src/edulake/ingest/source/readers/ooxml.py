"""The parts of an XLSX that hold cells, read as a stream (ECMA-376 part 1, chapter 18).

A spreadsheet library gives values: a code shown as `0031` comes back as the number 31, `#N/A` as
nothing. What must stay text is read here from the XML itself; a library is the referee in the tests.
"""

import posixpath
import re
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile

from edulake.ingest.source.readers.limits import Refusal
from edulake.ingest.source.readers.numberformat import PLAIN, Style, style_of

READ_BYTES = 1 << 18
ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
Attributes = dict[str, str]


def broken(detail: str) -> Refusal:
    return Refusal(
        "broken-workbook", "工作簿内容损坏，无法可靠读取", f"the workbook is damaged: {detail}",
        "用 Excel/WPS 打开并另存为 .xlsx", "open it and save it again as .xlsx",
    )  # fmt: skip


class Part:
    """A stream of start, text and end of elements of one XML part; prefixes are dropped, DTDs refused."""

    def __init__(
        self,
        start: Callable[[str, Attributes], None],
        end: Callable[[str, str], None] = lambda _name, _text: None,
    ) -> None:
        self._start = start
        self._end = end
        self._text: list[str] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._on_start
        self._parser.EndElementHandler = self._on_end
        self._parser.CharacterDataHandler = self._text.append
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype

    def read(self, archive: ZipFile, name: str) -> Generator[None, None, None]:
        """Feed the part piece by piece; control comes back after each piece."""
        try:
            with archive.open(name) as stream:
                while piece := stream.read(READ_BYTES):
                    self._parser.Parse(piece, False)
                    yield
                self._parser.Parse(b"", True)
                yield
        except (expat.ExpatError, BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError) as error:
            raise broken(f"{posixpath.basename(name)}: {type(error).__name__}") from error

    def read_all(self, archive: ZipFile, name: str) -> None:
        for _ in self.read(archive, name):
            pass

    def _on_start(self, name: str, attributes: Attributes) -> None:
        self._text.clear()
        self._start(name.rpartition(":")[2], attributes)

    def _on_end(self, name: str) -> None:
        self._end(name.rpartition(":")[2], "".join(self._text))
        self._text.clear()

    def _refuse_doctype(self, *_declaration: object) -> None:
        raise broken("document type declarations are not accepted")


@dataclass
class Workbook:
    """What is needed to read cells: sheets in order (name, part, hidden), styles, shared strings."""

    sheets: list[tuple[str, str, bool]] = field(default_factory=list)
    styles: list[Style] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)
    epoch_1904: bool = False

    def style(self, index: str | None) -> Style:
        number = int(index or 0)
        return self.styles[number] if number < len(self.styles) else PLAIN


def load_workbook(archive: ZipFile) -> Workbook:
    """Everything but the cells of the workbook in `archive`."""
    root = _related(archive, "")
    part = next((target for kind, target in root.values() if kind == "officeDocument"), "xl/workbook.xml")
    related = _related(archive, part)
    book = Workbook()
    declared: list[tuple[str, str, bool]] = []

    def start(name: str, attributes: Attributes) -> None:
        if name == "sheet":
            link = next((value for key, value in attributes.items() if key.endswith(":id")), "")
            hidden = attributes.get("state", "visible") != "visible"
            declared.append((attributes.get("name", ""), link, hidden))
        elif name == "workbookPr":
            book.epoch_1904 = attributes.get("date1904", "0") in ("1", "true")

    Part(start).read_all(archive, part)
    for name, link, hidden in declared:
        kind, target = related.get(link, ("", ""))
        if kind == "worksheet":
            book.sheets.append((name, target, hidden))
    for kind, target in related.values():
        if kind == "styles":
            book.styles = _styles(archive, target)
        elif kind == "sharedStrings":
            book.strings = _strings(archive, target)
    return book


def _related(archive: ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Relations of a part: id -> (kind, target part)."""
    folder, name = posixpath.split(part)
    relations: dict[str, tuple[str, str]] = {}

    def start(element: str, attributes: Attributes) -> None:
        if element == "Relationship" and attributes.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", ""))).lstrip("/")
            relations[attributes.get("Id", "")] = (posixpath.basename(attributes.get("Type", "")), target)

    Part(start).read_all(archive, posixpath.join(folder, "_rels", f"{name}.rels"))
    return relations


def _styles(archive: ZipFile, part: str) -> list[Style]:
    codes: dict[int, str] = {}
    formats: list[int] = []
    inside: list[str] = []

    def start(name: str, attributes: Attributes) -> None:
        if name == "numFmt":
            codes[int(attributes["numFmtId"])] = attributes["formatCode"]
        elif name == "xf" and inside and inside[-1] == "cellXfs":
            formats.append(int(attributes.get("numFmtId", "0")))
        elif name in ("cellXfs", "cellStyleXfs"):
            inside.append(name)

    def end(name: str, _text: str) -> None:
        if name in ("cellXfs", "cellStyleXfs"):
            inside.pop()

    Part(start, end).read_all(archive, part)
    return [style_of(number, codes) for number in formats]


def _strings(archive: ZipFile, part: str) -> list[str]:
    """Shared strings; runs are joined, phonetic hints (`rPh`) are not part of the text."""
    strings: list[str] = []
    pieces: list[str] = []
    phonetic = [False]

    def start(name: str, _attributes: Attributes) -> None:
        if name == "si":
            pieces.clear()
        elif name == "rPh":
            phonetic[0] = True

    def end(name: str, text: str) -> None:
        if name == "t" and not phonetic[0]:
            pieces.append(text)
        elif name == "rPh":
            phonetic[0] = False
        elif name == "si":
            strings.append(unescape("".join(pieces)))

    Part(start, end).read_all(archive, part)
    return strings


def unescape(text: str) -> str:
    """Undo `_x000D_`-style escapes (ECMA-376 part 1, 22.9.2.19); a surrogate half stays as written."""
    if "_x" not in text:
        return text
    return ESCAPE.sub(_unescaped, text)


def _unescaped(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return match[0] if 0xD800 <= code <= 0xDFFF else chr(code)
