"""A fault of the contract, not of the delivery: trying again cannot mend it, so it is told at once and once."""

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl


class ContractFault(Exception):
    """The message names contract, part and field, never a value that was delivered."""


@contextmanager
def blaming(where: str) -> Iterator[None]:
    """What fails inside is the fault of this part of the contract: steps are pure, so it would fail again.

    Only the kind of the error is told, for its message may quote a value.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, LookupError, TypeError, ValueError, StopIteration) as error:
        raise ContractFault(f"{where} cannot be carried out ({type(error).__name__})") from error
