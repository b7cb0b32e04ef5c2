"""The parent's side of a reading: start the process, wait no longer than allowed, judge how it ended."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from edulake.common import telemetry
from edulake.ingest.source.readers.child import too_complex
from edulake.ingest.source.readers.limits import Limits, Refusal

log = telemetry.logger(__name__)
#: Ways to die that mean a limit was met, and not a defect of ours.
OUT_OF = {signal.SIGXCPU: "time", signal.SIGKILL: "memory", signal.SIGABRT: "memory", signal.SIGXFSZ: "space"}
CHILD = "edulake.ingest.source.readers.child"
ANSWER_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Reading:
    """What was read: `headers` in file order, `rows` in the parquet file, `notes` for people."""

    format: str
    encoding: str | None
    headers: list[str]
    rows: int
    notes: dict[str, Any]


class ReaderFailed(Exception):
    """The reading process ended in a way that is our defect; the file may be fine."""


async def read_delivery(source: Path, target: Path, *, limits: Limits, wall_s: float) -> Reading:
    """Read `source` into the all-text parquet `target`; Refusal with words when that cannot be done."""
    job = {
        "source": str(source),
        "target": str(target),
        "limits": asdict(limits),
        "output_bytes": limits.expanded_max_bytes,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-m", CHILD,
        stdin=PIPE, stdout=PIPE, stderr=PIPE, env=_environment(), limit=ANSWER_MAX_BYTES,
    )  # fmt: skip
    try:
        out, errors = await asyncio.wait_for(process.communicate(orjson.dumps(job)), wall_s)
    except TimeoutError:
        raise too_complex("time") from None
    finally:
        await _end(process)
    return _judge(process.returncode or 0, out, errors)


def _environment() -> dict[str, str]:
    """Only what Python needs: the reader gets no secret of the service."""
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "POLARS_MAX_THREADS": "1"}


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


def _judge(code: int, out: bytes, errors: bytes) -> Reading:
    if code == 0 and out:
        outcome = orjson.loads(out)
        if refused := outcome.get("refused"):
            raise Refusal(**refused)
        return Reading(**outcome["read"])
    if code < 0 and (limit := OUT_OF.get(signal.Signals(-code))):
        raise too_complex(limit)
    # Native code that cannot get memory panics instead of raising; its last words say so.
    if b"memory allocation" in errors or b"MemoryError" in errors or b"Cannot allocate" in errors:
        raise too_complex("memory")
    log.error("reader failed", exit_code=code, kind=_last_word(errors))
    raise ReaderFailed(f"exit code {code}")


def _last_word(errors: bytes) -> str:
    """The name of the error, without its message: that could hold cells."""
    last = errors.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
    return last[0].split(":")[0][:80]
