"""Each page for each person, in an empty and in a full world."""

import pytest

from .conftest import Page, Person, World

EVERYONE = [
    "zhao-system",
    "qian-security",
    "sun-audit",
    "li-steward",
    "zhou-owner",
    "wu-contact",
    "zheng-applicant",
]
PATHS = [
    "/",
    "/overview/figures",
    "/resources",
    "/applications",
    "/applications/todo",
    "/apps",
    "/grants",
    "/orders",
    "/batches",
    "/batches/deliver",
    "/quality",
    "/sources",
    "/sources/_new",
    "/people",
    "/people/person:li-steward",
    "/audit",
    "/audit/identities",
    "/help",
]
#: What only these see; others are told so, with the service's refusal.
REFUSED = {
    "/people/person:li-steward": ("zhao-system", "qian-security", "sun-audit"),
}


OF_A_RESOURCE = [
    f"/resources/api:schools{tab}"
    for tab in (
        "",
        "/structure",
        "/sample",
        "/handbook",
        "/test",
        "/test?try=1",
        "/quality",
        "/versions",
        "/apply",
    )
]


class TestEveryPage:
    @pytest.mark.parametrize("sub", EVERYONE)
    async def test_renders_in_an_empty_and_in_a_full_world(self, world: World, sub: str) -> None:
        person = await world.enter(sub)
        for path in PATHS:
            await self.look(person, sub, path)
        await world.fill()
        for path in [*PATHS, *OF_A_RESOURCE, "/resources/dataset:student_base"]:
            await self.look(person, sub, path)

    async def look(self, person: Person, sub: str, path: str) -> None:
        """The page is there; where it shows one thing that he may not see, it says so."""
        answer = await person.get(path)
        may_see = sub in REFUSED.get(path, (sub,))
        assert answer.status_code == (200 if may_see else 403), (path, answer.text)
        assert may_see or "需要角色" in answer.text

    async def test_has_a_title_landmarks_labels_and_no_inline_code(self, full: World) -> None:
        person = await full.enter("zheng-applicant")
        await full.apply(person)
        for path in ["/", "/resources", *OF_A_RESOURCE, "/applications", "/grants", "/apps", "/help"]:
            text = await person.read(path)
            page = Page(text)
            assert text.count("<h1>") == 1, path
            assert "<title></title>" not in text
            assert page.all("main")[0]["id"] == "main"
            assert page.all("html")[0]["lang"] == "zh-CN"
            labelled = {found.get("for") for found in page.all("label")}
            for tag in ("input", "select", "textarea"):
                for found in page.all(tag):
                    if found.get("type") not in ("hidden", "checkbox"):
                        assert found["id"] in labelled, (path, found)
            for tag, found in page.tags:
                assert not [name for name in found if name == "style" or name.startswith("on")], (path, tag)
            assert all(found.get("src", "").startswith("/static/") for found in page.all("script"))
            ids = [found["id"] for _, found in page.tags if "id" in found]
            assert len(ids) == len(set(ids)), (path, ids)
            assert len(page.all("caption")) == len(page.all("table")), path

    async def test_is_small(self, full: World) -> None:
        person = await full.enter("zheng-applicant")
        css = next(
            found["href"] for found in Page(await person.read("/")).all("link") if "css" in found["href"]
        )
        sheet = await person.get(css)
        for path in ("/", "/resources", "/resources?sort=rows", *OF_A_RESOURCE):
            assert len((await person.read(path)).encode()) + len(sheet.content) < 60_000

    async def test_says_in_its_headers_that_nothing_foreign_runs(self, world: World) -> None:
        answer = await (await world.enter("li-steward")).get("/")
        policy = answer.headers["content-security-policy"]
        for rule in (
            "default-src 'self'",
            "script-src 'self'",
            "object-src 'none'",
            "frame-ancestors 'none'",
        ):
            assert rule in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


class TestStatics:
    async def test_are_served_for_ever_under_their_digest(self, world: World) -> None:
        person = await world.enter("li-steward")
        page = Page(await person.read("/"))
        addresses = [one["src"] for one in page.all("script")] + [one["href"] for one in page.all("link")]
        assert len(addresses) == 4
        for address in addresses:
            answer = await world.stranger().get(address, **{"accept-encoding": "gzip"})
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["content-encoding"] == "gzip"
            assert answer.content
        stale = await world.stranger().get(addresses[0].replace(addresses[0].split("/")[2], "0" * 12))
        assert stale.status_code == 404


class TestSilence:
    """A service that does not answer leaves a notice, not an error page."""

    async def test_the_overview_shows_the_rest(self, full: World) -> None:
        full.stop("ingest")
        person = await full.enter("li-steward")
        text = await person.read("/")  # ingest, governance and gateway are not started here
        for words in ("归集服务暂时没有应答", "共享网关暂时没有应答", "治理服务暂时没有应答"):
            assert words in text
        assert "目录服务暂时没有应答" not in text
        assert "未关闭工单" in text

    @pytest.mark.parametrize(
        ("service", "path", "words"),
        [
            ("catalog", "/resources", "目录服务暂时没有应答"),
            ("catalog", "/applications", "目录服务暂时没有应答"),
            ("workorder", "/orders", "工单服务暂时没有应答"),
        ],
    )
    async def test_a_list_says_so(self, full: World, service: str, path: str, words: str) -> None:
        person = await full.enter("li-steward")
        full.stop(service)
        assert words in await person.read(path)

    async def test_a_single_thing_answers_503_with_the_notice(self, full: World) -> None:
        person = await full.enter("li-steward")
        full.stop("catalog")
        answer = await person.get("/resources/api:schools")
        assert answer.status_code == 503
        assert "目录服务暂时没有应答" in answer.text

    async def test_without_auth_nobody_is_known(self, world: World) -> None:
        person = await world.enter("li-steward")
        world.stop("auth")
        answer = await person.get("/")
        assert answer.status_code == 503
        assert "身份服务暂时没有应答" in answer.text
        assert "李治理" not in answer.text


class TestReadiness:
    async def test_needs_no_database(self, world: World) -> None:
        answer = await world.stranger().get("/readyz")
        assert answer.json()["status"] == "ok"

    async def test_an_unknown_page_is_a_page(self, world: World) -> None:
        answer = await world.stranger().get("/no-such-page")
        assert answer.status_code == 404
        assert "没有这个页面" in answer.text
        assert answer.headers["content-type"].startswith("text/html")


class TestWithIngestAndGovernance:
    async def test_the_overview_shows_their_figures_and_the_list_its_batches(self, whole: World) -> None:
        person = await whole.enter("li-steward")
        text = await person.read("/")
        for words in ("入湖行数", "治理后行数", "共享行数"):
            assert words in text
        for words in ("归集服务暂时没有应答", "治理服务暂时没有应答"):
            assert words not in text
        assert "没有批次" in await person.read("/batches?status=published")

    async def test_an_unknown_batch_is_told_in_the_services_words(self, whole: World) -> None:
        person = await whole.enter("li-steward")
        answer = await person.get("/batches/8d4e6a52-0000-4000-8000-000000000000")
        assert answer.status_code == 404
        assert "批次无法显示" in answer.text
