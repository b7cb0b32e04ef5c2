"""The lake: Delta tables and sealed objects, each version vouched for by a manifest row in Postgres.

delta-rs makes no fsync, loses commits under concurrent merges and can vacuum what a restore needs
(measured on 1.6.6). So here: one writer per table, files on disk before the manifest row, readers that
follow the manifest and never "the latest", and a repair at start (ADR 0004).
"""

from edulake.common.lake.frame import content_digest
from edulake.common.lake.inspection import Discrepancy, Repair
from edulake.common.lake.manifest import DataFile, Manifest, TableDamaged, VersionGone, VersionNotFound
from edulake.common.lake.objects import ObjectMissing, ObjectsElsewhere
from edulake.common.lake.store import Lake

__all__ = [
    "DataFile",
    "Discrepancy",
    "Lake",
    "Manifest",
    "ObjectMissing",
    "ObjectsElsewhere",
    "Repair",
    "TableDamaged",
    "VersionGone",
    "VersionNotFound",
    "content_digest",
]
