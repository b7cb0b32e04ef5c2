"""Write the golden JSON Schema of every event: `python -m edulake.common.events FOLDER`."""

import json
import sys
from pathlib import Path

from edulake.common.events import CATALOGUE, Event
from pydantic import BaseModel


def golden(kind: type[BaseModel]) -> str:
    """The schema as it is checked in: sorted keys, two spaces, one newline at the end."""
    return json.dumps(kind.model_json_schema(), ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def write(folder: Path) -> None:
    (folder / "envelope.json").write_text(golden(Event), encoding="utf-8")
    for kind in CATALOGUE:
        (folder / f"{kind.name}.json").write_text(golden(kind), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
