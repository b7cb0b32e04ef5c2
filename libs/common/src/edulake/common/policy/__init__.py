"""Who may see and do what, decided in one place: a table (`table.py`), relations, current facts (ADR 0024)."""

from edulake.common.policy.asking import Asking, Neighbours, asking_neighbours, asking_of
from edulake.common.policy.care import Care, care_of
from edulake.common.policy.decide import Decides, Deciding, Scope, allow, could, may, refusal
from edulake.common.policy.relations import RELATIONS, Facts, Relation
from edulake.common.policy.table import TABLE, Kind, row

__all__ = [
    "RELATIONS",
    "TABLE",
    "Asking",
    "Care",
    "Decides",
    "Deciding",
    "Facts",
    "Kind",
    "Neighbours",
    "Relation",
    "Scope",
    "allow",
    "asking_neighbours",
    "asking_of",
    "care_of",
    "could",
    "may",
    "refusal",
    "row",
]
