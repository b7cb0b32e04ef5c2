"""Settings that would endanger a delivery are refused at the start."""

from pathlib import Path

import pytest
from edulake.ingest.settings import IngestSettings
from pydantic import ValidationError


def test_the_sweeper_may_never_be_quicker_than_the_slowest_delivery(home: Path) -> None:
    with pytest.raises(ValidationError, match="EDULAKE_ORPHAN_AGE_S"):
        IngestSettings(home=home, upload_total_s=100, reader_wall_s=50, orphan_age_s=150)


def test_every_setting_says_what_it_is() -> None:
    own = IngestSettings.model_fields.keys() - IngestSettings.__mro__[1].model_fields.keys()  # type: ignore[attr-defined]
    assert len(own) > 15
    for name in own:
        words = IngestSettings.model_fields[name].description or ""
        assert words.endswith("."), name


def test_what_a_reader_may_use_comes_from_them(home: Path) -> None:
    settings = IngestSettings(home=home, rows_max=7, cell_max_chars=9)
    assert (settings.reading_limits.rows_max, settings.reading_limits.cell_max_chars) == (7, 9)
