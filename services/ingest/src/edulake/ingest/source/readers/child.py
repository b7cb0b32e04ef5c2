"""The process that reads: bounds itself first, then opens what strangers sent.

Takes one JSON job on standard input and answers one JSON line on standard output. It holds no
connection, no key and no setting of the service.
"""

import csv
import ctypes
import json
import os
import resource
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edulake.ingest.source.readers.limits import Limits, Refusal

PR_SET_PDEATHSIG = 1
OPEN_FILES = 64


def bound(limits: Limits, output_bytes: int) -> None:
    """Give this process its limits; it dies with its parent."""
    # A field may not outgrow the reading; the exact limit is checked with the rows. It holds for the
    # whole process, which is why it is set only where the process is the reader's own.
    csv.field_size_limit(limits.cell_max_chars * 2)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (output_bytes, output_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read(job: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Read the file of `job` into its parquet target; returns format, encoding, headers, rows, notes."""
    # Imported after the limits hold: the libraries are part of what must fit into them.
    from edulake.ingest.source.readers.archive import open_workbook
    from edulake.ingest.source.readers.delimited import read_delimited
    from edulake.ingest.source.readers.lines import read_lines
    from edulake.ingest.source.readers.sniff import format_of
    from edulake.ingest.source.readers.table import write
    from edulake.ingest.source.readers.workbook import read_workbook

    source = Path(job["source"])
    kind = format_of(source)
    with ExitStack() as opened:
        if kind == "xlsx":
            table = read_workbook(opened.enter_context(open_workbook(source, limits)), limits)
        else:
            table = (read_lines if kind == "jsonl" else read_delimited)(source, limits)
        rows = write(table, Path(job["target"]), limits)
    return {
        "format": kind,
        "encoding": table.encoding,
        "headers": table.headers,
        "rows": rows,
        "notes": table.notes,
    }


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """The outcome of a job as JSON-ready data: `{"read": …}` or `{"refused": …}`."""
    try:
        return {"read": read(job, Limits(**job["limits"]))}
    except Refusal as refusal:
        return {"refused": vars(refusal)}
    except MemoryError:
        return {"refused": vars(too_complex("memory"))}


def too_complex(resource_name: str) -> Refusal:
    return Refusal(
        "too-complex",
        "读取文件所需的内存或时间超过上限",
        f"reading the file needs more {resource_name} than allowed",
        "另存为 CSV（UTF-8），或分成几个文件",
        "save it as CSV in UTF-8, or split it",
    )


def main() -> None:
    os.environ["POLARS_MAX_THREADS"] = "1"
    job = json.loads(sys.stdin.buffer.read())
    bound(Limits(**job["limits"]), job["output_bytes"])
    sys.stdout.write(json.dumps(answer(job)) + "\n")


if __name__ == "__main__":
    main()
