"""The page in a real Chromium: it loads, asks for nothing, complains of nothing, fits a phone, follows the theme."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat

from stage1.report import render
from tests.report import simulated

WIDTHS = (360, 768, 1200)
# Frames of three widths; the outer page may run scripts and measures them, the report inside does not.
MEASURE = """<!DOCTYPE html><title>measure</title><body>{frames}<pre id="out"></pre><script>
addEventListener("load", () => {{
  const frames = [...document.querySelectorAll("iframe")];
  document.getElementById("out").textContent = JSON.stringify(frames.map(frame => {{
    const page = frame.contentDocument, root = page.documentElement;
    const wide = [...page.querySelectorAll("svg")].filter(svg => svg.getBoundingClientRect().width > 60);
    return {{
      width: frame.clientWidth, scroll: root.scrollWidth, figures: wide.length,
      pictures: [...page.images].filter(image => image.complete && image.naturalWidth > 0).length,
      heading: page.querySelector("h2").getBoundingClientRect().top, sections: page.querySelectorAll("section").length,
    }};
  }}));
}});
</script></body>"""


class Site:
    """A web server on this machine that remembers what it was asked for."""

    def __init__(self, pages: dict[str, str]) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                body = pages.get(self.path)
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write((body or "").encode())

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    html = render(simulated.story())
    planted = '<img src="/planted.png"><script>document.body.textContent = "ran"</script></body>'
    frames = "".join(
        f'<iframe src="/report.html" style="width:{width}px;height:800px;border:0"></iframe>' for width in WIDTHS
    )
    pages = {
        "/report.html": html,
        "/planted.html": html.replace("</body>", planted),
        "/measure.html": MEASURE.format(frames=frames),
        "/sandbox.html": '<!DOCTYPE html><iframe sandbox src="/report.html" width="1000" height="900"></iframe>',
    }
    running = Site(pages)
    thread = threading.Thread(target=running.server.serve_forever)
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


def chromium(folder: Path, url: str, *options: str) -> tuple[str, list[str]]:
    """Open a page; return what Chromium printed and what the page wrote to the console."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.fail("this test needs a real browser: apt-get update && apt-get install -y chromium")
    command = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
        "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}", *options, url,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout, re.findall(r":CONSOLE.*", done.stderr)


def test_it_loads_without_a_request_or_a_word_on_the_console(site: Site, tmp_path: Path) -> None:
    site.asked.clear()
    dom, console = chromium(tmp_path, f"{site.address}/report.html", "--dump-dom")
    assert console == []
    assert site.asked == ["/report.html"]
    assert "PROMOTED" in dom
    assert dom.count("<svg") == 14


def test_a_planted_script_and_picture_are_blocked_and_would_be_noticed(site: Site, tmp_path: Path) -> None:
    site.asked.clear()
    dom, console = chromium(tmp_path, f"{site.address}/planted.html", "--dump-dom")
    assert site.asked == ["/planted.html"]
    assert len([line for line in console if "Content Security Policy" in line]) == 2
    assert "PROMOTED" in dom


def test_nothing_sticks_out_at_any_width_and_all_figures_are_drawn(site: Site, tmp_path: Path) -> None:
    dom, console = chromium(tmp_path, f"{site.address}/measure.html", "--dump-dom")
    assert console == []
    found = re.search(r'<pre id="out">(.*?)</pre>', dom)
    assert found is not None
    measured: list[dict[str, Any]] = json.loads(unescape(found[1]))
    assert [frame["width"] for frame in measured] == list(WIDTHS)
    for frame in measured:
        assert frame["scroll"] <= frame["width"]
        assert frame["figures"] == 14
        assert frame["pictures"] == 15
        assert frame["sections"] == 13
        assert frame["heading"] < 250, "the verdict is not at the top"


def shot(folder: Path, url: str, theme: str) -> Image.Image:
    """Return a screenshot; theme is light or dark."""
    file = folder / f"{theme}.png"
    setting = f"--blink-settings=preferredColorScheme={0 if theme == 'dark' else 1}"
    # A sandboxed frame in a process of its own may be painted after the screenshot is taken.
    together = "--disable-features=IsolateSandboxedIframes"
    chromium(folder, url, f"--screenshot={file}", "--window-size=1000,900", setting, together)
    with Image.open(file) as image:
        return image.convert("L")


def test_light_and_dark_differ_and_both_show_something(site: Site, tmp_path: Path) -> None:
    light, dark = (shot(tmp_path, f"{site.address}/report.html", theme) for theme in ("light", "dark"))
    assert ImageStat.Stat(light).mean[0] > 200
    assert ImageStat.Stat(dark).mean[0] < 70
    for image in (light, dark):
        assert ImageStat.Stat(image).stddev[0] > 15


def test_it_shows_inside_a_sandboxed_frame(site: Site, tmp_path: Path) -> None:
    framed = shot(tmp_path, f"{site.address}/sandbox.html", "light")
    assert ImageStat.Stat(framed.crop((100, 100, 900, 800))).stddev[0] > 15
