"""Excel numbers as the text a person sees: codes keep leading zeros, dates become ISO text.

Rules from ECMA-376 part 1, 18.8.30 (number formats) and 18.17.4 (date serials).
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal, InvalidOperation

#: Built-in formats that are dates or times; 27-36 and 50-58 are the Chinese ones.
BUILTIN: dict[int, str] = {
    **dict.fromkeys((14, 15, 16, 17, *range(27, 32), 36, 50, 51, 52, 53, 54, 57, 58), "y-m-d"),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 34, 35, 55, 56), "h:m:s"),
    22: "y-m-d h:m",
    45: "m:s",
    46: "[h]:m:s",
    47: "m:s",
}
#: What is shown as it stands, or not at all: quoted and escaped text, fill, padding, colours, AM/PM.
LITERALS = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|AM/PM|A/P|上午/下午', re.IGNORECASE)
LAST_SERIAL = 2_958_465  # 9999-12-31
#: Excel keeps 15 significant digits; longer ones are noise of the binary fraction.
FIFTEEN = Context(prec=15)
PRECISE_DIGITS = 15


@dataclass(frozen=True)
class Style:
    """How a number is shown: as a date and/or a time of day, as elapsed hours, or padded with zeros."""

    date: bool = False
    time: bool = False
    elapsed: bool = False
    zeros: int = 0


PLAIN = Style()


def style_of(format_id: int, codes: dict[int, str]) -> Style:
    """The style of a number format by its id; `codes` holds the workbook's own formats."""
    code = codes.get(format_id, BUILTIN.get(format_id, "General"))
    section = LITERALS.sub("", code.split(";")[0]).strip().lower()
    if section in ("", "general", "@"):
        return PLAIN
    if re.fullmatch(r"0{2,}", section) and not LITERALS.search(code.split(";")[0]):
        return Style(zeros=len(section))
    letters = re.sub(r"e[+-]", "", section)
    clock = bool(re.search(r"[hs]", letters))
    calendar = bool(re.search(r"[ydeg]", letters)) or ("m" in letters and not clock)
    if re.search(r"[#?]", letters) or not (clock or calendar):
        return PLAIN
    return Style(date=calendar, time=clock, elapsed="[" in letters)


def number_text(raw: str, style: Style, *, epoch_1904: bool = False) -> str:
    """The text of a stored number; `raw` comes back unchanged when it is no number.

    A whole number that lost its last digits stays in the exponent form in which Excel shows it (`3.10101E+17`),
    whatever its format: written out it would look like a number somebody has, and one in eleven identity
    numbers so made passes its check digit.
    """
    try:
        value = Decimal(raw.strip())
    except InvalidOperation:
        return raw
    if not value.is_finite():
        return raw
    if _is_rounded(value):
        return format(value, ".5E")
    if style.date or style.time:
        return _moment(value, style, epoch_1904) or _plain(value)
    text = _plain(value)
    return text.zfill(style.zeros) if style.zeros and text.isdigit() else text


def is_imprecise(raw: str) -> bool:
    """True for a whole number longer than Excel can hold: its last digits were lost before delivery."""
    try:
        value = Decimal(raw.strip())
    except InvalidOperation:
        return False
    return value.is_finite() and _is_rounded(value)


def _is_rounded(value: Decimal) -> bool:
    return bool(value) and value == value.to_integral_value() and value.adjusted() >= PRECISE_DIGITS


def _plain(value: Decimal) -> str:
    """Without exponent and without trailing zeros of the fraction."""
    if value == value.to_integral_value():
        return format(value.quantize(Decimal(1)), "f").removeprefix("-0") or "0"
    text = format(FIFTEEN.plus(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _moment(serial: Decimal, style: Style, epoch_1904: bool) -> str | None:
    """ISO text of a date serial; None when the serial is outside the calendar."""
    if not 0 <= serial <= LAST_SERIAL:
        return None
    millis = int((serial * 86_400_000).to_integral_value())
    if style.elapsed or (style.time and not style.date and serial < 1):
        return _clock(millis)
    start = datetime(1904, 1, 1) if epoch_1904 else datetime(1899, 12, 30)  # noqa: DTZ001 - a wall clock
    if not epoch_1904 and serial < 60:
        start += timedelta(days=1)  # Excel counts a 29 February 1900 that never was
    moment = start + timedelta(milliseconds=millis)
    whole = serial == serial.to_integral_value() and not style.time
    return moment.date().isoformat() if whole else f"{moment.date()} {_clock(millis % 86_400_000)}"


def _clock(millis: int) -> str:
    seconds, rest = divmod(millis, 1000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{rest:03}" if rest else text
