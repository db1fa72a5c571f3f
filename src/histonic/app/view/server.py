"""The viewer's server: addresses by numbers of slides, tiles and layers, so that no path can be asked for."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from histonic.app.view import answers
from histonic.app.view.content import Described, Viewed
from histonic.app.view.guard import Guard
from histonic.app.view.notes import MOST_LETTERS, NoteChanged, Notes
from histonic.app.view.pages import STATIC, static_file
from histonic.app.view.pyramid import Pyramid
from histonic.app.view.slides import SlidePool
from histonic.core.errors import HistonicError, SettingsError

HOST = "127.0.0.1"
THREADS = 8
"""That answer requests; others wait for their turn."""
MOST_BODY = 2 * 6 * MOST_LETTERS + 10_000
"""Bytes of a request that are kept: it holds a note as it is and as it was, and JSON takes up to six bytes
for a letter."""
KEPT = {"cache-control": "private, max-age=3600"}
FRESH = {"cache-control": "no-store"}


def make_app(viewed: Viewed, pool: SlidePool) -> Starlette:
    """The pages and their data; :class:`Guard` stands before them.

    Args:
        viewed: What is looked at.
        pool: Reads its slides.
    """
    notes = Notes(viewed.notes_path)

    def slide_of(request: Request) -> Described | None:
        return viewed.described(request.path_params["slide"])

    def page(_: Request) -> Response:
        return Response(static_file("index.html"), media_type="text/html", headers=FRESH)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return _absent()
        return Response(static_file(name), media_type=STATIC[name], headers={"cache-control": "no-cache"})

    def index(_: Request) -> Response:
        return JSONResponse(viewed.index(notes=True), headers=FRESH)

    def slide(request: Request) -> Response:
        found = slide_of(request)
        return _absent() if found is None else JSONResponse(answers.slide_facts(found, "png"), headers=FRESH)

    def tile(request: Request) -> Response:
        found, place = slide_of(request), request.path_params
        if found is None or found.source is None:
            return _absent()
        pyramid = Pyramid(found.size_wh)
        box = pyramid.box(place["level"], place["col"], place["row"])
        if box is None:
            return _absent()
        return Response(pool.png(found.source, pyramid, box), media_type="image/png", headers=KEPT)

    def thumbnail(request: Request) -> Response:
        found = slide_of(request)
        side = answers.THUMBNAILS_PX.get(request.path_params["name"])
        picture = found and side and answers.thumbnail(found, pool, side)
        return Response(picture, media_type="image/jpeg", headers=KEPT) if picture else _absent()

    def layer(request: Request) -> Response:
        found, number = slide_of(request), request.path_params["layer"]
        if found is None or not 0 <= number < len(found.layers):
            return _absent()
        return JSONResponse(found.layers[number].numbers(), headers=FRESH)

    def cell(request: Request) -> Response:
        found, place = slide_of(request), request.path_params
        picture = found and answers.cell_picture(found, pool, place["layer"], place["row"], place["col"])
        return Response(picture, media_type="image/jpeg", headers=KEPT) if picture else _absent()

    def read_notes(_: Request) -> Response:
        return JSONResponse(notes.read(), headers=FRESH)

    async def write_note(request: Request) -> Response:
        text = await _text_of(request)
        if len(text) > MOST_BODY:
            words = f"The note is too long: keep it below {MOST_LETTERS:,} letters."
            return PlainTextResponse(words, status_code=413, headers=FRESH)
        body = _json_of(text)
        names = ("patient_id", "note", "before")
        if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in names):
            return PlainTextResponse("A note is patient_id, note and before, as JSON.", status_code=400)
        if body["patient_id"] not in {case["patient_id"] for case in viewed.cases}:
            return _absent()
        try:
            notes.save(body["patient_id"], body["note"], body["before"])
        except NoteChanged as changed:
            return JSONResponse({"note": changed.note}, status_code=409, headers=FRESH)
        return JSONResponse({"note": body["note"]}, headers=FRESH)

    at = "/data/slides/{slide:int}"
    routes = [
        Route("/", page),
        Route("/static/{name:path}", static),
        Route("/data/index.json", index),
        Route(at + "/slide.json", slide),
        Route(at + "/{name:str}.jpg", thumbnail),
        Route(at + "/tiles_files/{level:int}/{col:int}_{row:int}.png", tile),
        Route(at + "/layers/{layer:int}.json", layer),
        Route(at + "/layers/{layer:int}/{row:int}_{col:int}.jpg", cell),
        Route("/data/notes.json", read_notes, methods=["GET"]),
        Route("/data/notes.json", write_note, methods=["POST"]),
    ]

    @contextlib.asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        # Each thread that reads keeps some memory of its own, and more of them read no faster.
        current_default_thread_limiter().total_tokens = THREADS
        yield
        pool.close()

    return Starlette(routes=routes, exception_handlers={HistonicError: _told}, lifespan=life)


async def _text_of(request: Request) -> bytes:
    """What a request says, if it says that it is JSON; of what is too long a little more than is allowed."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        return b""
    text = b""
    # The rest is read all the same: a browser that cannot send it all does not look at the answer.
    async for part in request.stream():
        text += part[: max(0, MOST_BODY + 1 - len(text))]
    return text


def _json_of(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _absent() -> Response:
    return PlainTextResponse("There is nothing here.", status_code=404, headers=FRESH)


def _told(_: Request, error: Exception) -> Response:
    """What a user can cause is said on the page."""
    words = f"{error.found} {error.todo}" if isinstance(error, HistonicError) else str(error)
    return PlainTextResponse(words, status_code=422, headers=FRESH)


def listen(port: int) -> socket.socket:
    """A socket on this machine's own address, which no other machine can reach.

    Raises:
        SettingsError: The port is taken, or not allowed.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen(128)
    except OSError as error:
        found.close()
        raise SettingsError(
            f"Listen on port {port}.",
            f"{error.strerror or error}.",
            "Give another --port; 0, the default, takes one that is free.",
        ) from error
    return found


def serve(viewed: Viewed, pool: SlidePool, port: int, tell: Callable[[Guard], None]) -> None:
    """Serve until it is interrupted (Ctrl-C) or ended.

    Args:
        viewed: What is looked at.
        pool: Reads its slides.
        port: 0 for any that is free.
        tell: Called with the addresses once the port is open.

    Raises:
        SettingsError: The port is taken.
    """
    import uvicorn

    with contextlib.closing(listen(port)) as opened:
        guard = Guard(make_app(viewed, pool), opened.getsockname()[1])
        config = uvicorn.Config(
            guard, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=2,
            limit_concurrency=256,
        )  # fmt: skip
        server = uvicorn.Server(config)
        tell(guard)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[opened])
