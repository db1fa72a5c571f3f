"""Who may ask the viewer: only this machine, only the browser that was given the token."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlencode

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Any, Send], Awaitable[None]]

VENDORED_STYLE = "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"
"""Of the one style that OpenSeadragon 6.1.1 puts into a page: no outline around it on touch screens."""
HEADERS = (
    (
        "content-security-policy",
        f"default-src 'none'; script-src 'self'; style-src 'self' {VENDORED_STYLE}; "
        "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
)
NAMES = ("127.0.0.1", "localhost", "[::1]")
REFUSED = (
    "This viewer belongs to somebody who was given an address with a token. Open the address that "
    "'histonic view' has printed; after it was started again, that is another one."
)


class Guard:
    """Stands before all pages: checks host and cookie, hands out the cookie for a token.

    A page of another site cannot ask (the cookie is ``SameSite=Lax``: of what another site begins only links
    bring it, and what changes something needs the viewer's own origin besides), nor one that made its name
    point to this machine (the host is checked). Another user of the machine does not know the token: that of
    the printed address holds while the server runs, that of the browser's start, which stands in the list of
    processes for a moment, can be used once.

    Args:
        app: What is guarded.
        port: On which it listens.
    """

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.port = port
        self.token = secrets.token_urlsafe(32)
        self.once = secrets.token_urlsafe(32)
        self._cookie = secrets.token_urlsafe(32)
        # Cookies do not know ports: viewers beside each other need names of their own.
        self.cookie_name = f"histonic-view-{port}"

    def url(self, token: str) -> str:
        """The first address, with a token."""
        return f"http://127.0.0.1:{self.port}/?{urlencode({'token': token})}"

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        headers = dict(pairs)
        hosts = {f"{name}:{self.port}" for name in NAMES} | (set(NAMES) if self.port == 80 else set())
        if headers.get("host", "").lower() not in hosts:
            await _answer(send, 421, "This viewer answers to this machine only.")
            return
        if self._opens(scope):
            # The token leaves the address bar and the history of the page. 'Strict' would not do: a browser
            # sends no such cookie on a redirect that a link in another site's page, as of mail, has begun.
            cookie = f"{self.cookie_name}={self._cookie}; Path=/; HttpOnly; SameSite=Lax"
            await _answer(send, 303, "", (("location", "/"), ("set-cookie", cookie)))
            return
        # Some clients give each cookie a header of its own.
        if not self._knows(";".join(value for name, value in pairs if name == "cookie")):
            await _answer(send, 403, REFUSED)
            return
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin not in {f"http://{host}" for host in hosts}:
            await _answer(send, 403, "Only the viewer's own pages may change notes.")
            return
        await self.app(scope, receive, _with_headers(send))

    def _opens(self, scope: Scope) -> bool:
        """Whether a request brings a token."""
        if scope["path"] != "/" or scope["method"] != "GET":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0].encode()
        if secrets.compare_digest(given, self.token.encode()):
            return True
        if self.once and secrets.compare_digest(given, self.once.encode()):
            self.once = ""
            return True
        return False

    def _knows(self, text: str) -> bool:
        # By hand: cookies of all other servers on this machine come along, and http.cookies gives up at the
        # first that is not as it should be.
        for part in text.split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie_name and secrets.compare_digest(value.encode(), self._cookie.encode()):
                return True
        return False


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_encoded(HEADERS)]
        await send(message)

    return sending


def _encoded(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _answer(send: Send, status: int, words: str, more: tuple[tuple[str, str], ...] = ()) -> None:
    body = words.encode()
    plain = (("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store"))
    headers = _encoded((*plain, ("content-length", str(len(body))), *more, *HEADERS))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
