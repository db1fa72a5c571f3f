"""The viewer's server: who may ask, what is answered, and that nothing else can be reached or written."""

from __future__ import annotations

import base64
import io
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fixtures.command_line import typed
from fixtures.views import EVIL, MPP, SIZE_WH, ViewedRun, write_viewed
from histonic.app.view.cache import ByteCache
from histonic.app.view.content import open_viewed
from histonic.app.view.guard import Guard
from histonic.app.view.pages import STATIC, static_file
from histonic.app.view.settings import ViewSettings
from histonic.app.view.slides import SlidePool
from histonic.slides.base import open_slide

pytest.importorskip("starlette", reason="starlette absent: pip install 'histonic[viewer]'")
pytest.importorskip("httpx", reason="httpx absent: pip install 'histonic[dev]'")

from starlette.testclient import TestClient

from histonic.app.view.server import listen, make_app

PORT = 8765
BASE = f"http://127.0.0.1:{PORT}"
PAGES = ["/", "/data/index.json", "/data/notes.json", "/data/slides/0/slide.json", "/static/view.js",
         "/data/slides/0/tiles_files/0/0_0.png"]  # fmt: skip


def guarded(viewed: ViewedRun) -> Guard:
    found = open_viewed(ViewSettings(what=viewed.run))
    return Guard(make_app(found, SlidePool(ByteCache(10**7))), PORT)


@pytest.fixture
def guard(viewed_run: ViewedRun) -> Guard:
    return guarded(viewed_run)


@pytest.fixture
def client(guard: Guard) -> Iterator[TestClient]:
    with TestClient(guard, base_url=BASE) as client:
        assert client.get(guard.url(guard.token), follow_redirects=True).status_code == 200
        yield client


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[TestClient, ViewedRun]]:
    """A run that a test may change."""
    viewed = write_viewed(tmp_path / "own")
    guard = guarded(viewed)
    with TestClient(guard, base_url=BASE) as client:
        client.get(guard.url(guard.token))
        yield client, viewed


def slide_number(client: TestClient, slide_id: str) -> int:
    slides: list[str] = client.get("/data/index.json").json()["slides"]
    return slides.index(slide_id)


# ----------------------------------------------------------------------------- who may ask


@pytest.mark.parametrize("path", PAGES)
def test_without_a_cookie_nothing_is_shown(guard: Guard, path: str) -> None:
    client = TestClient(guard, base_url=BASE)
    found = client.get(path)
    assert found.status_code == 403 and "histonic view" in found.text
    wrong = client.get(path, headers={"cookie": f"{guard.cookie_name}=guess"})
    assert wrong.status_code == 403 and client.get(path, params={"token": "guess"}).status_code == 403


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(guard: Guard) -> None:
    client = TestClient(guard, base_url=BASE, follow_redirects=False)
    answer = client.get("/", params={"token": guard.token})
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and guard.token not in cookie
    assert str(PORT) in cookie.split("=")[0]
    assert client.get("/").status_code == 200


def test_the_token_of_the_browser_holds_once(guard: Guard) -> None:
    once = guard.once
    answers = [
        TestClient(guard, base_url=BASE, follow_redirects=False).get("/", params={"token": once})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [303, 403]
    empty = TestClient(guard, base_url=BASE).get("/", params={"token": ""})
    assert empty.status_code == 403


@pytest.mark.parametrize(
    "before", ['prefs={"a": "b, c"}', "a b=c", '{"x":1}', "=", "\u00e9=1", 'q="open', "a[]=1"]
)
def test_cookies_of_other_servers_do_not_lock_out(guard: Guard, before: str) -> None:
    opened = TestClient(guard, base_url=BASE, follow_redirects=False).get("/", params={"token": guard.token})
    mine = opened.headers["set-cookie"].partition(";")[0]
    client = TestClient(guard, base_url=BASE)
    old = f"{guard.cookie_name}=of-an-earlier-start"
    for text in (f"{before}; {mine}", f"{before};{mine}; {before}", f"{old}; {before}; {mine}"):
        assert client.get("/", headers={"cookie": text.encode("latin-1")}).status_code == 200
    for text in (before, f"{before}; {old}", f"{before}; x{mine}", f"{before}; {mine}x"):
        assert client.get("/", headers={"cookie": text.encode("latin-1")}).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1:1", "127.0.0.1", ""])
def test_other_names_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/data/index.json", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "[::1]"])
def test_names_of_this_machine_are_not(client: TestClient, name: str) -> None:
    assert client.get("/data/index.json", headers={"host": f"{name}:{PORT}"}).status_code == 200


@pytest.mark.parametrize("path", [*PAGES, "/nothing", "/data/slides/99/slide.json"])
def test_every_answer_has_the_headers(client: TestClient, guard: Guard, path: str) -> None:
    for answer in (client.get(path), TestClient(guard, base_url=BASE).get(path)):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "'unsafe" not in policy and "http" not in policy
        assert "frame-ancestors 'none'" in policy and answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer" and "server" not in answer.headers


def test_sockets_listen_on_this_machine_only() -> None:
    with listen(0) as opened:
        assert opened.getsockname()[0] == "127.0.0.1"


# ----------------------------------------------------------------------------- what is answered


def test_tiles_are_the_pixels_of_the_slide(client: TestClient, viewed_run: ViewedRun) -> None:
    number = slide_number(client, "P000-A")
    facts = client.get(f"/data/slides/{number}/slide.json").json()
    assert (facts["width"], facts["height"], facts["mpp"]) == (*SIZE_WH, MPP)
    assert facts["tiles"] == {
        "size": 254, "overlap": 1, "format": "png", "width": 1300, "height": 900, "factor": 1,
    }  # fmt: skip
    with open_slide(viewed_run.slides / "P000-A.tif") as slide:
        for level, factor, row in ((11, 1, 1), (10, 2, 1), (9, 4, 0)):
            answer = client.get(f"/data/slides/{number}/tiles_files/{level}/1_{row}.png")
            found = np.asarray(Image.open(io.BytesIO(answer.content)))
            corner = (253 * factor, row * 253 * factor)
            expected = slide.read(corner, (found.shape[1], found.shape[0]), MPP * factor)
            assert answer.headers["content-type"] == "image/png" and (found == expected).all()


def test_layers_come_with_their_place_and_cells(client: TestClient, viewed_run: ViewedRun) -> None:
    number = slide_number(client, "P000-A")
    layer = client.get(f"/data/slides/{number}/slide.json").json()["layers"][0]
    values = client.get(f"/data/slides/{number}/layers/0.json").json()
    grid = np.frombuffer(base64.b64decode(values["values"]), "<f4").reshape(layer["rows"], layer["cols"])
    assert (layer["x"], layer["y"], layer["step"]) == (0, 0, 128) and grid.shape == (8, 11)
    row, col, value = values["most"][0]
    assert grid[row, col] == value == np.nanmax(grid)
    cell = client.get(f"/data/slides/{number}/layers/0/{row}_{col}.jpg")
    shown = np.asarray(Image.open(io.BytesIO(cell.content)), float)
    with open_slide(viewed_run.slides / "P000-A.tif") as slide:
        expected = slide.read((col * 128, row * 128), (128, 128), 0.5)
    assert shown.shape == (128, 128, 3) and np.abs(shown - expected).mean() < 12


@pytest.mark.parametrize("name", ["small", "large"])
def test_pictures_come_also_of_slides_that_are_gone(client: TestClient, name: str) -> None:
    for slide_id in ("P000-A", "P002-A", "P005-A"):
        answer = client.get(f"/data/slides/{slide_number(client, slide_id)}/{name}.jpg")
        assert answer.status_code == 200 and Image.open(io.BytesIO(answer.content)).format == "JPEG"


@pytest.mark.parametrize(
    "path",
    ["/data/slides/99/slide.json", "/data/slides/-1/slide.json", "/data/slides/0/layers/99.json",
     "/data/slides/0/tiles_files/99/0_0.png", "/data/slides/0/tiles_files/3/9_9.png",
     "/data/slides/0/layers/0/999_0.jpg", "/data/slides/0/huge.jpg", "/data/slides/x/slide.json",
     "/static/nothing.js", "/static/../guard.py", "/static/%2e%2e/guard.py", "/static/..%2fguard.py",
     "/static//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/data/slides/0/../../../../run.json",
     "/data/slides/..%2f..%2frun.json/slide.json", "/run.json", "/static/view.js%00.png"],
)  # fmt: skip
def test_there_is_nothing_outside(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_of_a_slide_that_is_gone_there_are_no_tiles(client: TestClient) -> None:
    number = slide_number(client, "P002-A")
    assert client.get(f"/data/slides/{number}/slide.json").json()["tiles"] is None
    assert client.get(f"/data/slides/{number}/tiles_files/0/0_0.png").status_code == 404
    assert client.get(f"/data/slides/{number}/layers/0/2_2.jpg").status_code == 404


def test_a_slide_that_breaks_is_told(own: tuple[TestClient, ViewedRun]) -> None:
    client, viewed = own
    number = slide_number(client, "P000-A")
    client.get(f"/data/slides/{number}/slide.json")
    (viewed.slides / "P000-A.tif").write_bytes(b"gone")
    answer = client.get(f"/data/slides/{number}/tiles_files/11/0_0.png")
    assert answer.status_code == 422 and "No reader can open it" in answer.text


def test_pages_ask_for_nothing_from_elsewhere() -> None:
    for name in ("index.html", "view.js", "pane.js", "paint.js", "view.css"):
        text = static_file(name).decode()
        assert "http" not in text and "//cdn" not in text and not re.search(r"\bstyle=|\son\w+=", text)
        assert "innerHTML" not in text and "eval(" not in text
    licence = static_file("openseadragon/LICENSE").decode()
    assert "Redistribution and use in source and binary forms" in licence
    assert static_file("openseadragon/openseadragon.min.js").startswith(b"//! openseadragon 6.1.1")
    assert {name for name in STATIC if "/" in name} == {
        "openseadragon/openseadragon.min.js", "openseadragon/LICENSE",
    }  # fmt: skip


# ----------------------------------------------------------------------------- notes


def post(client: TestClient, body: Any, **headers: str) -> Any:
    return client.post("/data/notes.json", json=body, headers={"origin": BASE, **headers})


def test_notes_are_kept_beside_the_run_and_nothing_else_is_written(own: tuple[TestClient, ViewedRun]) -> None:
    client, viewed = own
    before = sorted(viewed.run.parent.rglob("*"))
    note = {"patient_id": "P001", "note": "=pen mark\nlower left", "before": ""}
    assert post(client, note).json() == {"note": note["note"]}
    for path in PAGES:
        client.get(path)
    assert client.get("/data/notes.json").json() == {"P001": note["note"]}
    added = set(viewed.run.parent.rglob("*")) - set(before)
    assert added == {viewed.run.with_name("run.notes.csv")}
    assert "'=pen mark" in viewed.run.with_name("run.notes.csv").read_text()
    conflict = post(client, {**note, "note": "other"})
    assert conflict.status_code == 409 and conflict.json() == {"note": note["note"]}


def test_notes_of_strangers_are_refused(own: tuple[TestClient, ViewedRun]) -> None:
    client, viewed = own
    note = {"patient_id": "P001", "note": "x", "before": ""}
    assert post(client, note, origin="http://evil.example").status_code == 403
    assert client.post("/data/notes.json", json=note).status_code == 403
    assert post(client, {**note, "patient_id": "nobody"}).status_code == 404
    text = {"origin": BASE, "content-type": "text/plain"}
    assert client.post("/data/notes.json", content="{}", headers=text).status_code == 400
    long = post(client, {**note, "note": "x" * 200_000})
    assert long.status_code == 422 and "200000 letters" in long.text
    longer = post(client, {**note, "note": "x" * 2_000_000})
    assert longer.status_code == 413 and "20,000 letters" in longer.text
    assert post(client, {**note, "note": 5}).status_code == 400 and post(client, [1]).status_code == 400
    assert client.delete("/data/notes.json", headers={"origin": BASE}).status_code == 405
    assert not viewed.run.with_name("run.notes.csv").exists()


@pytest.mark.parametrize("letter", ["\u75c5", "\U00010348", "\x01"])
def test_long_notes_in_any_script_can_be_written_and_changed(
    own: tuple[TestClient, ViewedRun], letter: str
) -> None:
    client, _ = own
    first, second = letter * 19_999, letter * 20_000
    assert post(client, {"patient_id": "P001", "note": first, "before": ""}).status_code == 200
    assert post(client, {"patient_id": "P001", "note": second, "before": first}).json() == {"note": second}


def test_a_file_of_notes_that_is_none_is_told(own: tuple[TestClient, ViewedRun]) -> None:
    client, viewed = own
    viewed.run.with_name("run.notes.csv").write_text("mine;yours\n")
    answer = client.get("/data/notes.json")
    assert answer.status_code == 422 and "nothing was changed" in answer.text


def test_names_are_data(tmp_path: Path) -> None:
    viewed = write_viewed(tmp_path / "own")
    for path in (viewed.run / "cohort.json", viewed.run / "predictions" / "msi.csv"):
        path.write_text(path.read_text(encoding="utf-8").replace("P003", EVIL, 1), encoding="utf-8")
    found = open_viewed(ViewSettings(what=viewed.run))
    guard = Guard(make_app(found, SlidePool(ByteCache(10**6))), PORT)
    client = TestClient(guard, base_url=BASE)
    client.get(guard.url(guard.token))
    answer = client.get("/data/index.json")
    assert answer.headers["content-type"] == "application/json"
    assert EVIL in [case["patient_id"] for case in answer.json()["cases"]]
    assert EVIL not in client.get("/").text


# ----------------------------------------------------------------------------- the command


def test_a_port_that_is_taken_is_told(viewed_run: ViewedRun, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = typed("view", str(viewed_run.run), "--port", port, "--no-browser", cwd=tmp_path)
    assert done.code == 2 and f"Listen on port {port}" in done.err and "--port" in done.err


def test_without_the_extra_it_is_named(
    viewed_run: ViewedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from histonic.app.view import command

    monkeypatch.setattr(command, "NEEDED", ("no_such_package",))
    done = typed("view", str(viewed_run.run), cwd=tmp_path)
    assert done.code == 2 and "histonic[viewer]" in done.err and "no_such_package" in done.err


@pytest.mark.long
def test_ctrl_c_ends_it_cleanly(viewed_run: ViewedRun, tmp_path: Path) -> None:
    slide = shutil.copy(viewed_run.slides / "P000-A.tif", tmp_path / "a.tif")
    words = [sys.executable, "-m", "histonic", "view", str(slide), "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert re.fullmatch(r"Open http://127\.0\.0\.1:\d+/\?token=[\w-]{40,}\n", lines[1])
        port = int(re.findall(r":(\d+)/", lines[1])[0])
        for _ in range(200):
            with socket.socket() as asking:
                asking.settimeout(5)
                asking.connect(("127.0.0.1", port))
                asking.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                if b"403" in asking.recv(100):
                    break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out.strip(), err) == (0, "ended", "")
