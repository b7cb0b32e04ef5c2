"""Neither process of governance starts with a contract that cannot be carried out, and the doctor says so too."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from edulake.cli.doctor import examine
from edulake.common.settings import find_standards
from edulake.common.standards import StandardsError
from edulake.governance.app import create_app
from edulake.governance.settings import GovernanceSettings
from edulake.governance.worker import main

WORDS = r"student_base: derive student_key: by person_token takes 1 to 2 inputs in `from`, not 3"


@pytest.fixture
def settings(tmp_path: Path, make_settings: Any) -> GovernanceSettings:
    folder = Path(shutil.copytree(find_standards(), tmp_path / "standards"))
    path = folder / "datasets" / "student" / "student_base.yaml"
    right = "by: person_token, from: [identity_number, student_number]"
    wrong = "by: person_token, from: [identity_number, student_number, sex]"
    text = path.read_text("utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong), "utf-8")
    made: GovernanceSettings = make_settings(GovernanceSettings, standards_dir=folder)
    return made


async def test_the_service_does_not_start(settings: GovernanceSettings, client_for: Any) -> None:
    with pytest.raises(StandardsError, match=WORDS):
        async with client_for(create_app(settings)):
            pass


async def test_the_worker_does_not_start(settings: GovernanceSettings) -> None:
    with pytest.raises(StandardsError, match=WORDS):
        await main(settings)


def test_the_doctor_says_what_is_wrong(settings: GovernanceSettings) -> None:
    bad = [one.words for one in examine(settings) if one.grade == "bad" and "standards" in one.words]
    assert len(bad) == 1
    assert "person_token takes 1 to 2 inputs" in bad[0]
