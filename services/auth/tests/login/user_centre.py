"""A stand-in of ours for the user centre of 一网通办: two-step token, natural and legal persons, three levels."""

import httpx

from .provider import SESSION, answer_of

CENTRE = "https://user-centre.example"
SECRET = "0123456789abcdef0123456789abcdef"
SETTINGS = {
    "login_provider": "ywtb",
    "ywtb_login_url": f"{CENTRE}/login",
    "ywtb_token_url": f"{CENTRE}/token",
    "ywtb_user_url": f"{CENTRE}/user",
    "ywtb_client_id": "edulake",
    "ywtb_client_secret": SECRET,
}
ID_NUMBER = "310199199001010013"
NATURAL = {
    "userId": "5f0c1c0e-canary-user",
    "type": "个人",
    "username": "叶测试",
    "idCardNo": ID_NUMBER,
    "certType": "身份证",
    "mobile": "10000000001",
    "status": "激活",
    "realNameStatus": "验证通过",
    "level": "中级",
}
LEGAL = {
    **NATURAL,
    "userId": "legal-1",
    "type": "法人",
    "companyName": "测试中学",
    "socialCreditCode": "12310000000000000A",
}


class UserCentre(httpx.AsyncBaseTransport):
    """Honest until told otherwise; knows portal tokens by whom they stand for."""

    def __init__(self):
        self.tokens = {"pt-1": dict(NATURAL)}
        self.says = {}
        self.reads = []
        self.forms = {}

    async def handle_async_request(self, request):
        path = request.url.path
        self.reads.append(path)
        form = dict(httpx.QueryParams((await request.aread()).decode()))
        self.forms[path] = form
        if path in self.says:
            return answer_of(self.says[path])
        if path == "/token":
            right = (form.get("clientId"), form.get("clientSecret")) == ("edulake", SECRET)
            answer = {"access_token": "at-canary", "expires_in": 7200} if right else {"isSuccess": False}
            return httpx.Response(200, json=answer)
        known = self.tokens.get(form.get("portalToken")) if form.get("accessToken") == "at-canary" else None
        envelope = {
            "isSuccess": known is not None,
            "code": "200" if known else "401",
            "msg": "",
            "version": "1.0",
        }
        return httpx.Response(200, json={**envelope, "data": known or {}})


async def begin(browser, query=""):
    """Press login; the address the centre is asked to send the browser back to."""
    answer = await browser.get(f"/login?return_to=/resources{query}")
    assert answer.status_code == 303, answer.text
    place = httpx.URL(answer.headers["location"])
    return place, place.params["redirect_uri"]


async def come_back(auth, token="pt-1", browser=None, between="?"):
    """What the callback says once the centre has added its token; a refusal's page instead of its redirect."""
    browser = browser or auth.browser()
    _, back = await begin(browser)
    answer = await browser.get(f"{back}{between}access_token={token}")
    if answer.headers.get("location", "").startswith("/login/refused/"):
        answer = await browser.get(answer.headers["location"])
    return answer, browser


async def admit(auth, name="叶测试"):
    """The person who has just logged in for the first time is let in."""
    await auth.change(f"UPDATE auth.person SET status = 'active' WHERE name = '{name}'")


async def assert_refused(auth, answer, browser, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    assert SESSION not in browser.cookies
    assert await auth.rows("SELECT * FROM auth.session") == []
