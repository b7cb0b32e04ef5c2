"""The house keeps its shape: sizes, file names, no effects at import, no forbidden words."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path for part in ("libs", "services", "cli") for path in (ROOT / part).glob("**/src/**/*.py")
)
SERVICES = sorted(path for path in (ROOT / "services").iterdir() if path.is_dir())
FILE_LINES, FUNCTION_LINES, APP_LINES = 500, 60, 60
COMMON = ROOT / "libs" / "common" / "src" / "edulake" / "common"
KERNEL = "kernel"
COMMON_LINES = {  # docs/adr/0009: the kernel is what every process imports; the others are whole subjects
    KERNEL: 2500,
    "bus": 1800,  # docs/adr/0019
    "events": 700,
    "gm": 900,
    "lake": 1500,
    "migrations": 500,
    "policy": 800,  # most of it is the table, which grows with every route
    "standards": 950,  # with what contracts and APIs must not say, so that no start differs from another
}
LEAST = {  # the first release without a hole that mattered to us (others' advisories name them)
    "starlette": (1, 3, 1),
    "python-multipart": (0, 0, 31),
    "h11": (0, 16, 0),
    "authlib": (1, 6, 9),
    "orjson": (3, 9, 15),
    "cryptography": (48, 0, 1),
    "aiohttp": (3, 12, 14),
    "jinja2": (3, 1, 6),
}
LOCKS = ("requirements.lock", "requirements-dev.lock")
LOCK = "".join((ROOT / name).read_text() for name in LOCKS)
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()


NOT_USED = {"authlib"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
class TestFile:
    def test_is_short_and_so_are_its_functions(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        limit = APP_LINES if path.name in ("app.py", "pipeline.py") else FILE_LINES
        assert len(text.splitlines()) <= limit
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "migrations" not in path.parts:
                assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES, node.name

    def test_commits_only_where_transactions_are_made(self, path: Path) -> None:
        own = path.name in ("db.py", "migrate.py")  # the one place for commits, and the migrations' own
        calls = [
            node
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute)
            and node.attr == "commit"
            and isinstance(node.value, ast.Name)
            and node.value.id in ("session", "connection")
        ]
        assert own or calls == []

    def test_is_no_drawer_for_everything(self, path: Path) -> None:
        assert path.stem not in ("utils", "helpers", "misc", "manager")


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
class TestService:
    def test_has_the_common_skeleton(self, service: Path) -> None:
        package = service / "src" / "edulake" / service.name.replace("-", "_")
        for part in ("pyproject.toml", "README.md", "tests"):
            assert (service / part).exists(), part
        assert (package / "__init__.py").read_text(encoding="utf-8").startswith('"""')
        assert (package / "app.py").exists()
        assert not (service / "src" / "edulake" / "__init__.py").exists()


class TestCommon:
    """`libs/common` is a kernel and a few whole subjects; each has a budget of lines (docs/adr/0009)."""

    def lines(self, part: str) -> int:
        found = COMMON.glob("*.py") if part == KERNEL else (COMMON / part).rglob("*.py")
        return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in found)

    @pytest.mark.parametrize("part", sorted(COMMON_LINES))
    def test_each_part_stays_inside_its_budget(self, part: str) -> None:
        assert 0 < self.lines(part) <= COMMON_LINES[part]

    def test_no_part_is_without_a_budget(self) -> None:
        parts = {path.name for path in COMMON.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
        assert parts == set(COMMON_LINES) - {KERNEL}


class TestImport:
    @pytest.mark.parametrize("service", [s.name.replace("-", "_") for s in SERVICES])
    def test_has_no_effect(self, service: str, tmp_path: Path) -> None:
        """Importing an application opens nothing: it works where no store can be reached."""
        code = f"import edulake.{service}.app"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert list(tmp_path.iterdir()) == []


class TestRepository:
    def test_names_no_place_of_a_machine_and_no_registry(self) -> None:
        forbidden = re.compile(
            r"(?<![\w.])/(work|root|home/\w+)/|pypi\.org|registry\.npmjs|files\.pythonhosted"
        )
        hits = []
        for name in TRACKED:
            path = ROOT / name
            if path == Path(__file__).resolve() or not path.is_file():
                continue
            text = path.read_text(encoding="utf-8", errors="ignore")
            hits += [f"{name}: {match.group(0)}" for match in forbidden.finditer(text)]
        assert hits == []

    def test_every_dependency_is_pinned_with_a_hash(self) -> None:
        lock = LOCK
        assert "--index-url" not in lock
        assert "--find-links" not in lock
        pins = re.findall(
            r"^[a-z0-9][\w.\-\[\]]*==\S+ \\\n    --hash=sha256:", lock, re.MULTILINE | re.IGNORECASE
        )
        assert len(pins) == len(re.findall(r"^[a-z0-9][^\s]*==", lock, re.MULTILINE | re.IGNORECASE))

    def test_the_two_locks_name_the_same_versions(self) -> None:
        pins = set(re.findall(r"^([a-z0-9][\w.-]*)==(\S+)", LOCK, re.MULTILINE | re.IGNORECASE))
        assert len(pins) == len({name for name, _ in pins})

    def test_nothing_is_left_to_the_resolver(self) -> None:
        """pip's resolver can take a release of this very day for `coverage[toml]` and then miss its hash."""
        for name in ("Makefile", "Dockerfile"):
            for line in (ROOT / name).read_text().splitlines():
                if "--require-hashes" in line:
                    assert "--no-deps" in line or "$(PIP)" in line
        assert re.search(r"^PIP := .*--no-deps$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    @pytest.mark.parametrize("package", sorted(LEAST))
    def test_security_relevant_dependencies_are_new_enough(self, package: str) -> None:
        match = re.search(rf"^{package}==([\d.]+)", LOCK, re.MULTILINE | re.IGNORECASE)
        assert match, f"{package} is gone: take it out of LEAST"
        assert tuple(map(int, match.group(1).split("."))) >= LEAST[package]
