"""The name a delivered file had: a person recognises their file by it, and it may name a person.

Stored in the clear is only what we call the file. The name it came with lies sealed in the batch's notes and is opened
for who delivers or mends (the source's contact, a steward); one in which a detector finds a number is not kept at all.
"""

from edulake.common.gm import KeyRing, open_sealed, seal
from edulake.common.standards import Grading
from edulake.common.standards.detect import found_in
from edulake.ingest.models import Batch

#: Where in a batch's notes the sealed name lies; the API shows the other notes only.
NOTE = "filename_sealed"


def called(dataset: str, period: str, digest: str, extension: str) -> str:
    """`school_base-2024-1a2b3c4d.csv`: what everybody may know of a file."""
    return f"{dataset}-{period}-{digest[:8]}.{extension}"


def sealed(ring: KeyRing, grading: Grading, batch_id: str, name: str) -> dict[str, str]:
    """The note that keeps the given name, or none."""
    if found_in(grading.detectors, name):
        return {}
    return {NOTE: seal(ring, name.encode(), _place(batch_id))}


def opened(ring: KeyRing, batch: Batch) -> str:
    """The name the file came with where it was kept, else what it is called."""
    kept = batch.notes.get(NOTE)
    return open_sealed(ring, kept, _place(str(batch.batch_id))).decode() if kept else batch.filename


def _place(batch_id: str) -> bytes:
    return f"ingest.batch|filename|{batch_id}".encode()
