"""The reference is what the code says, and what written pages name exists."""

import importlib
import importlib.util
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
import typer
from edulake.cli.main import app as cli

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LISTED = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
TRACKED = subprocess.run(LISTED, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
# Files a reader makes, and variables of compose and of the image.
MADE_BY_PEOPLE = {"role_passwords.json", "deliveries.yaml", "result.json"}
OF_DEPLOYMENTS = {"EDULAKE_ROLE_PASSWORD", "EDULAKE_VERSION"}
SPEC = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")


class TestReference:
    def test_regenerating_changes_nothing(self) -> None:
        assert SPEC
        assert SPEC.loader
        generate = importlib.util.module_from_spec(SPEC)
        SPEC.loader.exec_module(generate)
        for name, text in generate.pages().items():
            kept = DOCS / "reference" / name
            assert kept.exists(), f"run `make docs`: {name} is missing"
            assert kept.read_text(encoding="utf-8") == text, f"run `make docs`: {name} is stale"

    @pytest.mark.parametrize("page", sorted((DOCS / "adr").glob("*.md")), ids=lambda path: path.name)
    def test_a_decision_is_one_page_with_its_parts(self, page: Path) -> None:
        text = page.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 90
        for part in ("Context", "Decision", "Consequences"):
            assert part in text


def written_pages() -> list[Path]:
    """Pages people write; `docs/reference` is generated, decisions and the changelog tell of their own time."""
    folders = [page for part in ("howto", "ops", "security") for page in (DOCS / part).glob("*.md")]
    tops = ("README.md", "README.zh-CN.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")
    return sorted([*folders, *(ROOT / name for name in tops), ROOT / "deploy" / "k8s" / "README.md"])


def code_of(text: str) -> list[str]:
    """What stands as code: between single backticks, and each line of a fenced block."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [*inline, *(line for block in fenced for line in block.splitlines())]


def is_there(place: str) -> bool:
    """A named path, whole or its end (`steps/whole.py`); `*`, `<…>` and `NNNN` match any name."""
    pattern = re.sub(r"<[^>]*>|NNNN", "*", place)
    return any(fnmatch(name, pattern) or fnmatch(name, f"*/{pattern}") for name in TRACKED)


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """Commands, targets, settings, metrics and routes there are."""
    group = typer.main.get_command(cli)
    commands = set(group.commands)  # type: ignore[attr-defined]
    reference = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    routes = set()
    for service in ("auth", "catalog", "ingest", "governance", "workorder", "share_gateway"):
        app = importlib.import_module(f"edulake.{service}.app").create_app()
        paths = getattr(app, "service", app).openapi()["paths"]
        routes |= {
            f"{verb.upper()} {re.sub('{[^}]*}', '{}', path)}" for path in paths for verb in paths[path]
        }
    return {
        "commands": commands,
        "targets": set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)),
        "names": set(re.findall(r"\b(?:EDULAKE_[A-Z_]+|edulake_[a-z_]+)\b", reference)),
        "routes": routes,
    }


@pytest.mark.parametrize("page", written_pages(), ids=lambda path: str(path.relative_to(ROOT)))
class TestWritten:
    """What a page names exists: a checklist that leads nowhere is worse than none."""

    def test_links_lead_somewhere(self, page: Path) -> None:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), target

    def test_paths_exist(self, page: Path) -> None:
        paths = [
            word
            for code in code_of(page.read_text(encoding="utf-8"))
            for word in code.split()
            if re.fullmatch(r"[\w.*<>-]+(/[\w.*<>-]+)*\.(py|ya?ml|md|csv|json|toml|lock)", word)
        ]
        missing = [word for word in paths if not is_there(word) and word not in MADE_BY_PEOPLE]
        assert missing == []

    def test_commands_targets_settings_and_metrics_exist(
        self, page: Path, known: dict[str, set[str]]
    ) -> None:
        for code in code_of(page.read_text(encoding="utf-8")):
            for command in re.findall(r"(?:^|/|\| )edulake ([a-z]+)", code):
                assert command in known["commands"], code
            for target in re.findall(r"^make ([a-z-]+)", code):
                assert target in known["targets"], code
            for module in re.findall(r"python -m (edulake[\w.]+)", code):
                assert importlib.util.find_spec(module), code
            for name in re.findall(r"\bEDULAKE_[A-Z_]+[A-Z]\b(?!\*)", code):
                assert name in known["names"] | OF_DEPLOYMENTS, code

    def test_routes_exist(self, page: Path, known: dict[str, set[str]]) -> None:
        for code in code_of(page.read_text(encoding="utf-8")):
            for verb, path in re.findall(r"\b(GET|POST|PUT|DELETE) (/api/[\w/{}.-]+)", code):
                assert f"{verb} {re.sub('{[^}]*}', '{}', path).rstrip('.')}" in known["routes"], code

    def test_no_folder_is_empty(self, page: Path) -> None:
        assert [folder for folder in DOCS.iterdir() if folder.is_dir() and not any(folder.iterdir())] == []
