"""补全 complete: empty cells are filled from a named derivation or from the referenced row, never invented.

Every filled cell says where its value came from; the outcome gathers that in `_filled`.
"""

import polars as pl
from edulake.common.standards import Link
from edulake.governance.steps.context import Context, StepResult
from edulake.governance.steps.derivations import DERIVATIONS, fill
from edulake.governance.steps.faults import blaming


def complete(frame: pl.DataFrame, context: Context) -> StepResult:
    """Links first (a derivation may use what they bring), then the contract's derivations in its order."""
    for link in context.contract.links:
        frame = _from_reference(frame, link, context)
    for derivation in context.contract.derive:
        with blaming(f"{context.contract.name}: derive {derivation.field} by {derivation.by}"):
            frame = DERIVATIONS[derivation.by].derive(frame, derivation, context)
    return StepResult(frame)


def _from_reference(frame: pl.DataFrame, link: Link, context: Context) -> pl.DataFrame:
    reference = context.references.get(link.reference)
    if reference is None or not link.fill:
        return frame
    brought = {column: f"_brought_{column}" for column in link.fill.values() if column in reference.columns}
    rows = reference.select(
        pl.col(link.key).alias(link.field), *(pl.col(c).alias(n) for c, n in brought.items())
    )
    joined = frame.join(rows.unique(link.field), on=link.field, how="left", maintain_order="left")
    for field, column in link.fill.items():
        if column in brought:
            joined = fill(joined, field, pl.col(brought[column]), f"{link.reference}.{column}")
    return joined.drop(brought.values())
