"""What people type, as words to look for.

One spelling (NFKC, lower case) on both sides. A word is found where it stands as a whole; Chinese has no blanks, so
学生信息 is not found in 学生基础信息. What is found nowhere is then looked for by its pieces, two characters each.
"""

import re
import unicodedata

MAX_WORDS = 10
#: Shorter runs of letters and digits stand inside too many words.
LEAST_LETTERS = 3
#: Blanks and punctuation, half and full width; `: / - _ .` and the like stay, ids and codes hold them.
_CUTS = re.compile(
    r"[\s,;!?()\[\]{}<>\"'，；：！？（）［］｛｝＜＞＂＇“”‘’、。｡《》〈〉【】〔〕「」『』…·・•—]+"
)
#: Runs of letters and digits, and runs of characters of other scripts.
_RUNS = re.compile(r"[0-9a-z]+|[^\W0-9a-z_]+")


def plain(text: str) -> str:
    """The one spelling."""
    return unicodedata.normalize("NFKC", text).lower()


def words_of(text: str) -> list[str]:
    """At most ten words, in the one spelling."""
    return plain(_CUTS.sub(" ", text)).split()[:MAX_WORDS]


def pieces_of(words: list[str]) -> list[str]:
    """The words cut small, each piece once: two characters of Chinese, three letters or digits and more as they stand."""
    found: list[str] = []
    for run in (run for word in words for run in _RUNS.findall(word)):
        if run.isascii():
            found += [run] if len(run) >= LEAST_LETTERS else []
        else:
            found += [run[at : at + 2] for at in range(max(1, len(run) - 1))]
    return list(dict.fromkeys(found))
