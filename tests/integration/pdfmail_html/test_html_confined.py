"""The confined renderer with real processes: hostile mails, real deaths of the child, hosts that forbid the guard."""

from __future__ import annotations

import base64
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pikepdf
import pypdfium2
import pytest
from PIL import Image

from pdfmail.errors import RenderCause, RenderError
from pdfmail.html import ConfinedRenderer
from pdfmail.html.job import RenderLimits
from pdfmail.model import BodyRenderer, HtmlBody, InlineImage

ROOT = Path(__file__).parents[3]
SLOW_HTML = "<p>" + "".join(f"<b>{i}</b><i>x</i> " for i in range(5900))  # needs many seconds of layout


def load_mails() -> ModuleType:
    spec = spec_from_file_location("hostile_mails", Path(__file__).with_name("hostile_mails.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAILS = load_mails()


@pytest.fixture(scope="module")
def renderer() -> Iterator[ConfinedRenderer]:
    with ConfinedRenderer() as renderer:
        yield renderer


@pytest.fixture(scope="module")
def canary() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def read_text(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return "\n".join(page.get_textpage().get_text_bounded() for page in document)
    finally:
        document.close()


def assert_plain(pdf: bytes) -> None:
    """Nothing attached, nothing that acts, no link but web and mail."""
    with pikepdf.open(io.BytesIO(pdf)) as document:
        assert "/EmbeddedFiles" not in document.Root.get("/Names", {})
        assert "/AF" not in document.Root
        assert "/OpenAction" not in document.Root
        assert "/AcroForm" not in document.Root
        assert document.Root.MarkInfo.Marked
        for page in document.pages:
            assert [round(float(edge)) for edge in page.mediabox] == [0, 0, 595, 842]
            for annotation in page.get("/Annots", []):
                assert annotation.Subtype == "/Link"
                if "/A" in annotation:
                    assert annotation.A.S == "/URI"
                    assert re.match(r"(?:https?://|mailto:)", str(annotation.A.URI))


def count_connections(canary: socket.socket) -> int:
    count = 0
    while True:
        try:
            connection, _ = canary.accept()
        except BlockingIOError:
            return count
        connection.close()
        count += 1


def make_image() -> InlineImage:
    out = io.BytesIO()
    Image.new("RGB", (20, 20), "#0e5a63").save(out, "PNG")
    return InlineImage("ok", "image/png", out.getvalue())


def test_it_is_a_body_renderer_and_every_guard_stands(renderer: ConfinedRenderer) -> None:
    body_renderer: BodyRenderer = renderer
    pdf = body_renderer.render_body(HtmlBody(html="<p>Hello <b>reader</b><img src=cid:ok>", images=(make_image(),))).pdf
    assert_plain(pdf)
    assert "Hello reader" in read_text(pdf)
    assert {"network", "files", "limits"} <= set(renderer.guards)
    assert ("user" in renderer.guards) == (os.geteuid() == 0)


def test_the_canary_hears_a_fetch_when_there_is_one(canary: socket.socket) -> None:
    """The proof below is worth nothing if the canary were deaf."""
    with socket.create_connection(canary.getsockname()):
        assert count_connections(canary) == 1


def test_it_says_which_pictures_the_pages_show_in_full(renderer: ConfinedRenderer) -> None:
    frames = io.BytesIO()
    Image.new("RGB", (20, 20)).save(frames, "GIF", save_all=True, append_images=[Image.new("RGB", (20, 20), "red")])
    large = io.BytesIO()
    Image.new("1", (2500, 2500)).save(large, "PNG")
    images = {
        "ok": make_image().content,
        "svg": b"<svg/>",
        "unnamed": make_image().content,
        "frames": frames.getvalue(),
        "large": large.getvalue(),
        "hidden": make_image().content,
        "linked": make_image().content,
    }
    html = "<p>" + "".join(f"<img src=cid:{name}>" for name in ("ok", "svg", "frames", "large"))
    html += "<img src=cid:hidden style='visibility:hidden'><a href=https://a.example><img src='cid:linked'></a>"
    html += '<img src="data:image/png;base64,' + base64.b64encode(make_image().content).decode() + '">'
    drawn = renderer.render_body(
        HtmlBody(html=html, images=tuple(InlineImage(name, "", content) for name, content in images.items()))
    )
    assert_plain(drawn.pdf)
    assert {list(images)[place] for place in drawn.shown} == {"ok", "linked"}


@pytest.mark.parametrize("name", MAILS.FETCHERS)
def test_nothing_is_fetched_and_nothing_attached(name: str, renderer: ConfinedRenderer, canary: socket.socket) -> None:
    mail = MAILS.FETCHERS[name].format(u=f"http://127.0.0.1:{canary.getsockname()[1]}")
    assert_plain(renderer.render_body(HtmlBody(html=mail, images=(make_image(),))).pdf)
    assert count_connections(canary) == 0


@pytest.mark.parametrize("name", MAILS.BOMBS)
def test_a_bomb_is_drawn_within_the_limits(name: str, renderer: ConfinedRenderer) -> None:
    pdf = renderer.render_body(HtmlBody(html=MAILS.BOMBS[name](), images=(make_image(),))).pdf
    assert_plain(pdf)
    assert len(pdf) < 2_000_000


@pytest.mark.parametrize(
    "name",
    ["counters", "selectors", *(pytest.param(name, marks=pytest.mark.long) for name in ("rows_50k", "pages_20k"))],
)
def test_a_heavy_mail_is_drawn_or_refused_with_its_cause(name: str, renderer: ConfinedRenderer) -> None:
    causes: list[RenderCause] = []
    try:
        assert_plain(renderer.render_body(HtmlBody(html=MAILS.HEAVY[name]())).pdf)
    except RenderError as error:
        causes.append(error.cause)
    assert set(causes) <= {RenderCause.PAGES, RenderCause.TIME}
    assert "next" in read_text(renderer.render_body(HtmlBody(html="<p>next")).pdf)


def test_more_pages_than_allowed_are_refused(renderer: ConfinedRenderer) -> None:
    body = "<p>line</p>" * 200
    with pytest.raises(RenderError) as caught:
        renderer.render_body(HtmlBody(html=body, max_pages=2))
    assert caught.value.cause is RenderCause.PAGES
    assert caught.value.temporary is False
    assert renderer.render_body(HtmlBody(html=body, max_pages=20)).pdf


@pytest.mark.parametrize("body", [HtmlBody(), HtmlBody(html="a", text="b")])
def test_a_body_is_html_or_text(body: HtmlBody, renderer: ConfinedRenderer) -> None:
    with pytest.raises(RenderError) as caught:
        renderer.render_body(body)
    assert caught.value.cause is RenderCause.INPUT


@pytest.mark.parametrize(
    ("limits", "html", "cause"),
    [
        (RenderLimits(cpu_seconds=1), SLOW_HTML, RenderCause.TIME),
        (RenderLimits(wall_seconds=0.5), SLOW_HTML, RenderCause.TIME),
        (RenderLimits(address_space=400 << 20), "<p>" + "x" * (150 << 20), RenderCause.MEMORY),
    ],
    ids=["cpu", "wall", "memory"],
)
def test_a_limit_ends_the_body_and_the_next_one_renders(limits: RenderLimits, html: str, cause: RenderCause) -> None:
    with ConfinedRenderer(limits) as renderer:
        with pytest.raises(RenderError) as caught:
            renderer.render_body(HtmlBody(html=html))
        assert caught.value.cause is cause
        zygote = renderer.zygote_id
        assert "next" in read_text(renderer.render_body(HtmlBody(html="<p>next")).pdf)
        assert renderer.zygote_id == zygote


def find_child(zygote: int | None) -> int:
    """Return the child that the zygote forked for the body under way."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = Path(f"/proc/{zygote}/task/{zygote}/children").read_text(encoding="ascii").split()
        if children:
            return int(children[0])
        time.sleep(0.01)
    raise AssertionError("no child was forked")


def render_in_thread(renderer: ConfinedRenderer, outcome: list[object]) -> threading.Thread:
    def work() -> None:
        try:
            outcome.append(renderer.render_body(HtmlBody(html=SLOW_HTML)).pdf)
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("number", "cause"), [(signal.SIGSEGV, RenderCause.CRASH), (signal.SIGKILL, RenderCause.MEMORY)]
)
def test_a_child_that_dies_gives_its_cause_and_the_next_body_renders(
    number: signal.Signals, cause: RenderCause
) -> None:
    with ConfinedRenderer() as renderer:
        renderer.start()
        outcome: list[object] = []
        thread = render_in_thread(renderer, outcome)
        os.kill(find_child(renderer.zygote_id), number)
        thread.join()
        assert isinstance(outcome[0], RenderError)
        assert outcome[0].cause is cause
        assert renderer.render_body(HtmlBody(html="<p>next")).pdf


def test_a_zygote_that_dies_is_started_again() -> None:
    with ConfinedRenderer() as renderer:
        renderer.start()
        first = renderer.zygote_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert renderer.render_body(HtmlBody(html="<p>next")).pdf
        assert renderer.zygote_id != first


def test_a_zygote_that_dies_during_a_body_takes_its_child_along_and_the_body_is_tried_again() -> None:
    with ConfinedRenderer(RenderLimits(cpu_seconds=2)) as renderer:
        renderer.start()
        first = renderer.zygote_id
        assert first is not None
        outcome: list[object] = []
        thread = render_in_thread(renderer, outcome)
        child = find_child(first)
        os.kill(first, signal.SIGKILL)
        thread.join()
        assert isinstance(outcome[0], RenderError)  # the second try met the limit: it did run
        assert outcome[0].cause is RenderCause.TIME
        assert not is_alive(child)


def is_alive(process: int) -> bool:
    """True while the process runs (a zombie does not)."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state in "ZX":
            return False
        time.sleep(0.05)
    return True


def test_close_ends_the_zygote_and_the_renderer_can_be_used_again() -> None:
    renderer = ConfinedRenderer()
    assert renderer.zygote_id is None
    renderer.close()
    renderer.start()
    zygote = renderer.zygote_id
    assert zygote is not None
    renderer.close()
    assert not is_alive(zygote)
    assert renderer.render_body(HtmlBody(html="x")).pdf
    renderer.close()


def run_program(program: str, *arguments: str, user_namespace: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    if user_namespace:
        command = ["unshare", "--user", "--map-root-user", *command]
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_the_zygote_ends_with_a_client_that_was_killed() -> None:
    program = (
        "import os, signal\n"
        "from pdfmail.html import ConfinedRenderer\n"
        "renderer = ConfinedRenderer()\n"
        "renderer.start()\n"
        "print(renderer.zygote_id, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = run_program(program)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert not is_alive(int(result.stdout))


def test_a_fork_gets_a_zygote_of_its_own() -> None:
    program = (
        "import os\n"
        "from pdfmail.html import ConfinedRenderer\n"
        "from pdfmail.model import HtmlBody\n"
        "renderer = ConfinedRenderer()\n"
        "renderer.start()\n"
        "first = renderer.zygote_id\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    assert renderer.render_body(HtmlBody(html='a')).pdf.startswith(b'%PDF')\n"
        "    assert renderer.zygote_id != first\n"
        "    renderer.close()\n"
        "    os._exit(0)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "assert renderer.render_body(HtmlBody(html='b')).pdf.startswith(b'%PDF')\n"
        "assert renderer.zygote_id == first\n"
        "renderer.close()\n"
    )
    result = run_program(program)
    assert result.returncode == 0, result.stderr


UNGUARDED = """
import sys
from pathlib import Path
for name in sys.argv[1:]:
    Path(name).write_text("0")
from pdfmail.errors import UnguardedHostError
from pdfmail.html import ConfinedRenderer
from pdfmail.model import HtmlBody
with ConfinedRenderer() as renderer:
    try:
        renderer.render_body(HtmlBody(html="a"))
    except UnguardedHostError as error:
        print(error.temporary, error)
"""


def test_a_host_that_forbids_the_network_guard_renders_nothing() -> None:
    result = run_program(UNGUARDED, "/proc/sys/user/max_net_namespaces", user_namespace=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("True this host forbids a network namespace")


def test_the_guard_stands_without_root_too() -> None:
    result = run_program(
        UNGUARDED.replace('html="a"))', 'html="a"))\n        print(*renderer.guards)'), user_namespace=True
    )
    assert result.returncode == 0, result.stderr
    assert "network" in result.stdout


def test_a_worker_with_a_small_memory_limit_of_its_own_can_render() -> None:
    program = (
        "import resource\n"
        "hard = resource.getrlimit(resource.RLIMIT_AS)[1]\n"
        "resource.setrlimit(resource.RLIMIT_AS, (200 << 20, hard))\n"
        "from pdfmail.html import ConfinedRenderer\n"
        "from pdfmail.model import HtmlBody\n"
        "with ConfinedRenderer() as renderer:\n"
        "    assert renderer.render_body(HtmlBody(html='<p>\u6f22')).pdf.startswith(b'%PDF')\n"
    )
    result = run_program(program)
    assert result.returncode == 0, result.stderr


WITHOUT_FONTS = """
from pdfmail.html import ConfinedRenderer, RendererStartError
from pdfmail.model import HtmlBody
with ConfinedRenderer() as renderer:
    try:
        renderer.render_body(HtmlBody(html="a"))
    except RendererStartError as error:
        print(error.temporary, error)
"""


def test_a_host_without_fonts_says_which_packages_to_install() -> None:
    hide = 'mount -t tmpfs none /usr/share/fonts && exec "$0" "$@"'
    result = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", hide, sys.executable, "-c", WITHOUT_FONTS],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.stdout.startswith("True "), result.stderr
    assert "fonts-noto-core fonts-noto-cjk" in result.stdout


def test_several_threads_share_one_renderer(renderer: ConfinedRenderer) -> None:
    outcome: dict[int, str] = {}

    def work(number: int) -> None:
        outcome[number] = read_text_safely(renderer.render_body(HtmlBody(html=f"<p>body {number}")).pdf)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcome == {number: f"body {number}" for number in range(6)}


_PDFIUM = threading.Lock()


def read_text_safely(pdf: bytes) -> str:
    with _PDFIUM:  # pdfium is not made for threads
        return read_text(pdf).strip()


def test_a_renderer_outlives_the_thread_that_started_it() -> None:
    with ConfinedRenderer() as own:
        thread = threading.Thread(target=own.start)
        thread.start()
        thread.join()
        zygote = own.zygote_id
        for _ in range(3):
            assert own.render_body(HtmlBody(html="x")).pdf
        assert own.zygote_id == zygote
