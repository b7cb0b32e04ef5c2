"""A stand-in of ours for the user centre of 一网通办, as a program: `python user_centre.py PORT SECRET`.

Two steps as docs/ops/login.md tells: the browser comes back with a portal token, which we take, with an access token
of our own, to ask who it stands for. Each portal token is good once. A browser that has chosen once stays logged in.
"""

import secrets
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

LEVELS = {"1": "初级", "2": "中级", "3": "高级"}
_portal_tokens: dict[str, str] = {}
_access_tokens: set[str] = set()


def person(who: str) -> dict[str, str]:
    kind, level = who.split("-")
    known = {"userId": f"made-up-{who}", "username": "叶测试", "status": "激活", "level": LEVELS[level]}
    number = {"idCardNo": "310199199001010013", "certType": "身份证"}
    body = {"companyName": "测试中学"} if kind == "legal" else {}
    return {**known, **number, **body, "type": "法人" if kind == "legal" else "个人"}


async def login(request: Request) -> Response:
    kind = "legal" if request.url.path == "/legal" else "natural"
    who = request.query_params.get("who") or request.cookies.get("centre")
    back = request.query_params["redirect_uri"]
    if who:
        token = secrets.token_urlsafe(16)
        _portal_tokens[token] = who
        answer = RedirectResponse(f"{back}?access_token={token}", 302)
        answer.set_cookie("centre", who, httponly=True)
        return answer
    buttons = "".join(
        f'<button name="who" value="{kind}-{level}">{LEVELS[level]}</button>' for level in LEVELS
    )
    hidden = f'<input type="hidden" name="redirect_uri" value="{back}">'
    return HTMLResponse(f"<!doctype html><title>用户中心替身</title><form>{hidden}{buttons}</form>")


async def token(request: Request) -> JSONResponse:
    form = await request.form()
    if form.get("clientSecret") != sys.argv[2]:
        return JSONResponse({"isSuccess": False, "code": "401", "msg": "client"})
    made = secrets.token_urlsafe(16)
    _access_tokens.add(made)
    return JSONResponse({"access_token": made, "expires_in": 7200})


async def user(request: Request) -> JSONResponse:
    form = await request.form()
    who = _portal_tokens.pop(str(form.get("portalToken")), None)
    if who is None or str(form.get("accessToken")) not in _access_tokens:
        return JSONResponse(
            {"isSuccess": False, "code": "401", "msg": "token", "version": "1.0", "data": None}
        )
    return JSONResponse({"isSuccess": True, "code": "200", "msg": "", "version": "1.0", "data": person(who)})


async def ready(_request: Request) -> Response:
    return Response("ok")


app = Starlette(
    routes=[
        Route("/login", login),
        Route("/legal", login),
        Route("/token", token, methods=["POST"]),
        Route("/user", user, methods=["POST"]),
        Route("/ready", ready),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
