"""Promise P2: however often and in whatever order batches are governed again, the content stays the same.

The real eight steps, sealing included, are governed again in test_journey.py.
"""

import random
from typing import Any

import pytest

NAMES = ("chess", "go", "drama", "choir", "bad")
SOURCES = (("source-a", 5), ("source-b", 5), ("source-c", 9))


def deliveries(dice: random.Random, count: int) -> list[dict[str, Any]]:
    """Files and pushes of three sources for two periods, which agree, contradict and replace each other."""
    made = []
    for number in range(count):
        source, authority = dice.choice(SOURCES)
        phones = [None, *(f"1380000000{digit}" for digit in range(4))]
        rows = {name: dice.choice(phones) for name in dice.sample(NAMES, dice.randrange(1, 5))}
        facts = {"source_id": source, "authority": authority, "period": dice.choice(("2023", "2024"))}
        made.append(
            {
                "batch_id": f"b{number}",
                "rows": list(rows.items()),
                "format": dice.choice(("csv", "rows")),
                **facts,
            }
        )
    return made


class TestReprocessing:
    @pytest.mark.parametrize("seed", range(4))
    async def test_any_batches_any_number_of_times_leaves_the_content_as_it_was(
        self, house: Any, seed: int
    ) -> None:
        dice = random.Random(seed)
        batches = deliveries(dice, 7)
        for batch in batches:
            await house.land(**batch)
        ids = [batch["batch_id"] for batch in batches]
        await house.govern(*ids)
        first, rows = await newest(house, "club"), await house.governed()

        for _ in range(4):
            again = dice.sample(ids, dice.randrange(1, len(ids)))
            for batch_id in again:
                await house.reopen(batch_id)
            await house.govern(*again)
            assert (await newest(house, "club")).content_digest == first.content_digest
        assert (await newest(house, "club")).version > first.version
        assert (await house.governed()).equals(rows)

    async def test_an_order_of_arrival_that_differs_between_sources_leaves_no_trace(self, house: Any) -> None:
        """Two datasets get the same deliveries, of different sources in another order."""
        batches = [
            {"source_id": "source-a", "authority": 5, "rows": [("chess", "13800000001"), ("go", None)]},
            {"source_id": "source-c", "authority": 9, "rows": [("chess", "13800000002")]},
            {"source_id": "source-b", "authority": 1, "rows": [("go", "13800000003"), ("drama", None)]},
        ]
        for dataset, order in (("club", (0, 1, 2)), ("other", (2, 0, 1))):
            for number in order:
                await house.land(f"{dataset}{number}", dataset=dataset, **batches[number])
            await house.govern(*(f"{dataset}{number}" for number in order))
        assert (await newest(house, "club")).content_digest == (await newest(house, "other")).content_digest


async def newest(house: Any, dataset: str) -> Any:
    async with house.database.read() as session:
        return await house.lake.manifest(session, "governed", dataset)
