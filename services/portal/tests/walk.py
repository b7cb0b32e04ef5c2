"""Every page and who looks at it, for the pictures and the checks of looks; a new page is a line here."""

import re
from dataclasses import dataclass

from .world import World


@dataclass(frozen=True)
class Look:
    """`path` as `sub` sees it in a full world; `first` picks the first link of that page instead."""

    name: str
    sub: str
    path: str
    first: str = ""

    async def address(self, world: World) -> str:
        """Where the browser goes. Raises AssertionError when the page has no such link."""
        if not self.first:
            return self.path
        found = re.search(f'href="({self.first})"', await (await world.enter(self.sub)).read(self.path))
        assert found, f"{self.path} has no link like {self.first}"
        return found[1]


WALK = (
    Look("overview", "li-steward", "/"),
    Look("resources", "zheng-applicant", "/resources"),
    Look("resources-none", "zheng-applicant", "/resources?q=没有这个词"),
    Look("resource", "zheng-applicant", "/resources/api:schools"),
    Look("resource-structure", "zheng-applicant", "/resources/dataset:student_base/structure"),
    Look("resource-sample", "zheng-applicant", "/resources/dataset:student_base/sample"),
    Look("resource-handbook", "zheng-applicant", "/resources/api:schools/handbook"),
    Look("resource-test", "zheng-applicant", "/resources/api:schools/test?try=1&stage=3"),
    Look("resource-test-wrong", "zheng-applicant", "/resources/api:schools/test?try=1&limit=x"),
    Look("resource-quality", "zhou-owner", "/resources/api:schools/quality"),
    Look("resource-versions", "zhou-owner", "/resources/api:schools/versions"),
    Look("resource-apply", "zheng-applicant", "/resources/api:student/apply"),
    Look("applications", "zheng-applicant", "/applications"),
    Look("apps", "zheng-applicant", "/apps"),
    Look("grants", "zheng-applicant", "/grants"),
    Look("grant", "zhou-owner", "/grants", r"/grants/[0-9a-f-]{36}"),
    Look("todo", "zhou-owner", "/applications/todo"),
    Look("orders", "wu-contact", "/orders"),
    Look("order", "wu-contact", "/orders", r"/orders/[0-9a-f-]{36}"),
    Look("order-steward", "li-steward", "/orders", r"/orders/[0-9a-f-]{36}"),
    Look("sources", "li-steward", "/sources"),
    Look("source-new", "li-steward", "/sources/_new"),
    Look("source", "li-steward", "/sources/roster-b"),
    Look("source-contact", "wu-contact", "/sources/roster-b"),
    Look("people", "zhao-system", "/people"),
    Look("people-none", "zhao-system", "/people?status=disabled&name=没有"),
    Look("person-admit", "zhao-system", "/people?status=pending", r"/people/person%3A[0-9a-f]{32}"),
    Look("person-roles", "qian-security", "/people?status=pending", r"/people/person%3A[0-9a-f]{32}"),
    Look("person-self", "qian-security", "/people/person:qian-security"),
    Look("audit", "sun-audit", "/audit"),
    Look("audit-identities", "sun-audit", "/audit/identities"),
    Look("batches", "li-steward", "/batches"),
    Look("help", "zheng-applicant", "/help"),
)
