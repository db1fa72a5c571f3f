"""The viewer as a person sees it: pixels, cells at their place, and twenty readers at once. Takes minutes."""

from __future__ import annotations

import io
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fixtures.views import MPP, SIZE_WH, ViewedRun, field_of
from histonic.core.units import WH
from histonic.slides.base import open_slide
from histonic.slides.formats.pyramid import write_pyramid

pytestmark = pytest.mark.long
for name, extra in (("starlette", "viewer"), ("uvicorn", "viewer"), ("httpx", "dev")):
    pytest.importorskip(name, reason=f"{name} absent: pip install 'histonic[{extra}]'")

LOAD_S = float(os.environ.get("HISTONIC_LOAD_S", "60"))
READERS = 20
CACHE_MB = 128


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[str, int]]]:
    """Start viewers; gives address and process number of each."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> tuple[str, int]:
        command = [sys.executable, "-m", "histonic", "view", *words, "--no-browser"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        text = "".join(process.stdout.readline() for _ in range(3))
        return re.findall(r"http://\S+", text)[0], process.pid

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a browser without a window that records requests and complaints."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright absent: pip install playwright, and have Chromium"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium absent: install it to look at the viewer in a browser")
    with playwright.sync_playwright() as started:
        # WebGL by software, so that the machine needs no graphics card.
        words = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = started.chromium.launch(executable_path=chromium, args=words)
        context = browser.new_context(viewport={"width": 1300, "height": 900}, device_scale_factor=1)
        opened = context.new_page()
        opened.asked, opened.complaints = [], []
        opened.on("request", lambda request: opened.asked.append(request.url))
        # OpenSeadragon says so when a slide is left before its tiles have come.
        late = "Ignoring tile"
        opened.on(
            "console",
            lambda message: message.text.startswith(late) or opened.complaints.append(message.text),
        )
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        yield opened
        browser.close()


LOADED = """(() => {
  const pane = window.histonicView && histonicView.panes[0];
  const world = pane && pane.viewer.world;
  return Boolean(world && world.getItemCount() && world.getItemAt(0).getFullyLoaded()
    && (!pane.layer || pane.cells));
})()"""


def wait(page: Any, words: str = LOADED) -> None:
    for _ in range(1200):  # two minutes: other work may share the machine
        if page.evaluate(words):
            page.wait_for_timeout(300)  # the picture is drawn in the next frames
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never true: {words}; {page.complaints}")


def settle(page: Any, zoom: float, middle: tuple[float, float]) -> None:
    """Go to a place (level-0 pixels) at so many screen pixels per level-0 pixel, without gliding there."""
    page.evaluate(
        """([zoom, x, y]) => {
          const pane = histonicView.panes[0], view = pane.viewer.viewport;
          pane.touched = true;
          view.zoomTo(zoom * pane.unit / view.getContainerSize().x, null, true);
          view.panTo(new OpenSeadragon.Point(x / pane.unit, y / pane.unit), true);
        }""",
        [zoom, *middle],
    )
    page.wait_for_timeout(500)
    wait(page)


def stage_box(page: Any) -> dict[str, float]:
    found: dict[str, float] = page.evaluate(
        "(() => { const b = histonicView.panes[0].stage.getBoundingClientRect();"
        " return {x: b.x, y: b.y, width: b.width, height: b.height}; })()"
    )
    return found


def picture_of(page: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)


def test_pixels_cells_keys_and_requests(
    viewed_run: ViewedRun, serve: Callable[..., tuple[str, int]], page: Any
) -> None:
    url, _ = serve(str(viewed_run.run))
    page.goto(url)
    wait(page)
    assert "token" not in page.url
    number = page.evaluate("histonicView.index.cases.findIndex((each) => each.patient_id === 'P000')")
    page.evaluate(f"histonicView.openCase({number})")
    page.wait_for_timeout(500)
    wait(page)
    slide_number = page.evaluate("histonicView.panes[0].slide")

    # A tile, decoded by the browser, is what the slide's reader gives.
    with open_slide(viewed_run.slides / "P000-A.tif") as slide:
        for level, factor, row in ((11, 1, 1), (9, 4, 0)):
            found = page.evaluate(
                """async (address) => {
                  const answer = await fetch(address);
                  const bitmap = await createImageBitmap(await answer.blob(), {colorSpaceConversion: "none"});
                  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
                  const context = canvas.getContext("2d");
                  context.drawImage(bitmap, 0, 0);
                  const data = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
                  return [bitmap.width, bitmap.height, Array.from(data)];
                }""",
                f"data/slides/{slide_number}/tiles_files/{level}/1_{row}.png",
            )
            pixels = np.array(found[2], int).reshape(found[1], found[0], 4)[..., :3]
            corner = (253 * factor, row * 253 * factor)
            assert (pixels == slide.read(corner, (found[0], found[1]), MPP * factor)).all()

        # So is the picture on the screen, one stored pixel a screen pixel: squares of 10 pixels would differ
        # by 5 in the mean if it lay a pixel off.
        page.keyboard.press("o")
        box = stage_box(page)
        size = page.evaluate("(({stage}) => [stage.clientWidth, stage.clientHeight])(histonicView.panes[0])")
        middle = (600 + size[0] % 2 / 2, 450 + size[1] % 2 / 2)
        settle(page, 1.0, middle)
        left, top = (round(middle[axis] - size[axis] / 2) for axis in (0, 1))
        shown = picture_of(page)
        part = shown[
            round(box["y"]) + 150 : round(box["y"]) + 350, round(box["x"]) + 100 : round(box["x"]) + 400
        ]
        expected = slide.read((left + 100, top + 150), (300, 200), MPP).astype(int)
        squares = [each.reshape(20, 10, 30, 10, 3).mean(axis=(1, 3)) for each in (part, expected)]
        assert np.abs(squares[0] - squares[1]).mean() < 3
        page.keyboard.press("o")

    # A cell lies within a pixel of its box in level-0 pixels, at three zooms.
    page.evaluate(
        """() => {
          const pane = histonicView.panes[0];
          pane.numbers.values.fill(NaN);
          pane.numbers.values[3 * pane.layer.cols + 4] = pane.layer.scale;
          pane.opacity.value = 100;
          pane.repaint();
        }"""
    )
    strong = np.array([0x66, 0x25, 0x06])
    for zoom in (0.37, 1.0, 3.3):
        settle(page, zoom, (4.5 * 128 + 3, 3.5 * 128 - 2))
        box = stage_box(page)
        shown = picture_of(page)
        inside = np.argwhere(np.abs(shown - strong).max(axis=2) <= 2)
        (y0, x0), (y1, x1) = inside.min(axis=0), inside.max(axis=0) + 1
        centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for found, level0, middle_at, origin in (
            (x0, 4 * 128, 4.5 * 128 + 3, centre[0]), (x1, 5 * 128, 4.5 * 128 + 3, centre[0]),
            (y0, 3 * 128, 3.5 * 128 - 2, centre[1]), (y1, 4 * 128, 3.5 * 128 - 2, centre[1]),
        ):  # fmt: skip
            assert abs(found - (origin + (level0 - middle_at) * zoom)) <= 1.0, (zoom, found)

    # Keys: the next case, a note, the best cell, two panes that move together.
    case = page.evaluate("location.hash")
    page.keyboard.press("j")
    wait(page)
    assert page.evaluate("location.hash") != case
    page.keyboard.press("k")
    wait(page, f"location.hash === {case!r} && histonicView.panes[0].cells !== null")
    page.keyboard.press("n")
    page.keyboard.type("a pen mark")
    page.keyboard.press("Escape")
    wait(page, "document.getElementById('note-state').textContent.startsWith('saved')")
    assert "a pen mark" in viewed_run.run.with_name("run.notes.csv").read_text()
    page.keyboard.press("t")
    wait(page, "histonicView.panes[0].marked !== null")
    page.keyboard.press("2")
    wait(page, "histonicView.panes.length === 2 && histonicView.panes[1].viewer.isOpen()")
    page.evaluate("histonicView.panes[0].box.dispatchEvent(new PointerEvent('pointerdown', {bubbles: true}))")
    page.keyboard.press("-")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(1500)
    places = page.evaluate("histonicView.panes.map((pane) => pane.place)")
    assert places[0] == pytest.approx(places[1], rel=1e-3)

    host = url.split("/?")[0]
    assert all(each.startswith((host, "data:", "blob:")) for each in page.asked)
    assert page.complaints == []


@pytest.mark.parametrize("width", [400, 1300])
def test_nothing_is_wider_than_the_window(
    viewed_run: ViewedRun, serve: Callable[..., tuple[str, int]], page: Any, width: int
) -> None:
    url, _ = serve(str(viewed_run.run))
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url)
    wait(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, textarea')].filter("
        "(each) => !(each.textContent.trim() || each.getAttribute('aria-label')"
        " || (each.labels && each.labels.length))).length"
    )
    assert unnamed == 0


def test_an_export_looks_the_same(viewed_run: ViewedRun, tmp_path: Path, page: Any) -> None:
    command = [
        sys.executable,
        "-m",
        "histonic",
        "view",
        str(viewed_run.run),
        "--export",
        str(tmp_path / "site"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    plain = [
        sys.executable,
        "-m",
        "http.server",
        "0",
        "--bind",
        "127.0.0.1",
        "--directory",
        str(tmp_path / "site"),
    ]
    with subprocess.Popen(
        plain,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as server:
        assert server.stdout is not None
        url = re.findall(r"http://[\d.]+:\d+", server.stdout.readline())[0]
        page.goto(url)
        wait(page)
        assert page.evaluate("document.getElementById('note-box').hidden")
        assert page.evaluate("histonicView.index.cases.length") == 6 and page.complaints == []
        server.terminate()


def test_twenty_readers_for_a_minute_take_no_more_memory(
    tmp_path: Path, serve: Callable[..., tuple[str, int]]
) -> None:
    """A bounded load on this machine's own address: memory grows until the cache is full, then it stays."""
    import httpx

    side = 8
    for number in range(3):
        tiled = np.tile(field_of(number), (side, side, 1))
        write_pyramid(tmp_path / f"{number}.tif", tiled, mpp=MPP)
    url, pid = serve(str(tmp_path), "--cache-mb", str(CACHE_MB))
    base = url.split("/?")[0]
    wide, high = WH(SIZE_WH.w * side, SIZE_WH.h * side)
    with httpx.Client(base_url=base) as first:
        first.get(url)
        cookies = dict(first.cookies)
    from histonic.app.view.pyramid import Pyramid

    pyramid = Pyramid(WH(wide, high))
    counts, failed, ended = [0] * READERS, [], threading.Event()
    seen: dict[str, int] = {}

    def read(reader: int) -> None:
        rng = np.random.default_rng(reader)
        with httpx.Client(base_url=base, cookies=cookies, timeout=120) as client:
            while not ended.is_set():
                level = int(rng.integers(8, pyramid.last + 1))
                cols, rows = pyramid.tiles(level)
                place = f"{rng.integers(3)}/tiles_files/{level}/{rng.integers(cols)}_{rng.integers(rows)}.png"
                answer = client.get(f"/data/slides/{place}")
                counts[reader] += 1
                seen[place] = len(answer.content)
                if answer.status_code != 200:
                    failed.append((place, answer.status_code))

    threads = [threading.Thread(target=read, args=(reader,)) for reader in range(READERS)]
    for thread in threads:
        thread.start()
    began, filling, memory = time.monotonic(), [_resident_mb(pid)], [0.0]
    try:
        # On a machine with other work it takes a while until as many bytes were read as the cache keeps.
        while sum(list(seen.values())) < CACHE_MB * 1e6 and time.monotonic() < began + 10 * LOAD_S:
            time.sleep(LOAD_S / 60)
            filling.append(_resident_mb(pid))
        full = time.monotonic()
        while time.monotonic() < full + LOAD_S:
            time.sleep(LOAD_S / 60)
            memory.append(_resident_mb(pid))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    half = len(memory) // 2
    print(
        f"{sum(counts)} tiles; {filling[0]:.0f} MB at first, {filling[-1]:.0f} after {full - began:.0f} s "
        f"with a full cache, {memory[half]:.0f} and {memory[-1]:.0f} after {LOAD_S / 2:.0f} and {LOAD_S:.0f} "
        "s more"
    )
    assert not failed and min(counts) > 0
    assert max(memory[half:]) <= max(memory[:half]) + 30, memory


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
