"""The server: pages of the store, uploads into its queue, and the headers that keep both safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tinytorch.benchmarking.entry import MOST_TOML
from tinytorch.benchmarking.events import LARGEST
from tinytorch.benchmarking.result import BOARDS
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.store.queue import Queue
from tinytorch.benchmarking.web.links import ServerLinks
from tinytorch.benchmarking.web.pages import DIVISIONS, Pages
from tinytorch.benchmarking.web.uploads import MOST_BYTES, Rate, uploaded
from tinytorch.errors import BenchmarkError

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer a form of our own has no origin
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def make_app(board: Leaderboard, rate: Rate | None = None) -> Starlette:
    """The application on a store."""
    site = Site(board, rate or Rate())
    static = str(files("tinytorch.benchmarking.web") / "static")
    return Starlette(
        routes=[
            Route("/", site.index),
            Route("/board/{event}/{division}", site.board),
            Route("/entry/{number:int}", site.entry),
            Route("/team/{name}", site.team),
            Route("/rules", site.rules),
            Route("/museum", site.museum),
            Route("/queue", site.queue),
            Route("/upload", site.form, methods=["GET"]),
            Route("/upload", site.upload, methods=["POST"]),
            Route("/upload/{ticket}", site.job),
            Route("/upload/{ticket}/state", site.state),
            Route("/static/bench.css", site.style),
            Mount("/static", StaticFiles(directory=static)),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=_with_headers)],
        exception_handlers={HTTPException: site.problem, BenchmarkError: site.problem},
    )


async def _with_headers(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call(request)
    response.headers.update(HEADERS)
    return response


class Site:
    """What answers requests; the store is asked in threads, so that one slow answer keeps nobody waiting."""

    def __init__(self, board: Leaderboard, rate: Rate) -> None:
        self.pages, self.queued, self.rate = Pages(board, ServerLinks()), Queue(board), rate

    async def _page(self, make: Callable[..., str], *given: Any) -> HTMLResponse:
        return HTMLResponse(await run_in_threadpool(make, *given))

    async def index(self, request: Request) -> Response:
        """The events."""
        return await self._page(self.pages.index)

    async def board(self, request: Request) -> Response:
        """A board; what is asked for must be one of those that there are."""
        division, by = request.path_params["division"], request.query_params.get("by", "overall")
        page = request.query_params.get("page", "1")
        if division not in DIVISIONS or by not in BOARDS or not page.isdecimal() or len(page) > 6:
            raise HTTPException(404, "There is no such board.")
        machine = request.query_params.get("machine", "")[:64]
        return await self._page(
            self.pages.board, request.path_params["event"], division, by, machine, int(page)
        )

    async def entry(self, request: Request) -> Response:
        """A result."""
        return await self._page(self.pages.entry, min(request.path_params["number"], 2**31 - 1))

    async def team(self, request: Request) -> Response:
        """A team's results."""
        return await self._page(self.pages.team, request.path_params["name"][:64])

    async def rules(self, request: Request) -> Response:
        """The rules."""
        return await self._page(self.pages.rules)

    async def museum(self, request: Request) -> Response:
        """The museum."""
        return await self._page(self.pages.museum)

    async def queue(self, request: Request) -> Response:
        """What waits."""
        return await self._page(lambda: self.pages.queue(self.queued.jobs()))

    async def form(self, request: Request) -> Response:
        """The form of an upload."""
        return await self._page(self.pages.upload)

    async def job(self, request: Request) -> Response:
        """The state of an upload, as a page."""
        return await self._page(lambda: self.pages.job(self.queued.job(request.path_params["ticket"])))

    async def state(self, request: Request) -> Response:
        """The state of an upload, as the part of the page that changes."""
        return await self._page(lambda: self.pages.state(self.queued.job(request.path_params["ticket"])))

    async def style(self, request: Request) -> Response:
        """The style sheet."""
        return Response(await run_in_threadpool(self.pages.style), media_type="text/css")

    # ------------------------------------------------------------ uploading

    async def upload(self, request: Request) -> Response:
        """Take an upload into the queue, or say what is wrong with it: then nothing is stored."""
        self._require_own_page(request)
        address = request.client.host if request.client else "unknown"
        if not self.rate.allows(address):
            raise HTTPException(429, f"More than {self.rate.most} uploads in a minute. Wait a little.")
        try:
            description, program = await self._files(request)
            job = await run_in_threadpool(lambda: self.queued.put(uploaded(description, program)))
        except BenchmarkError as error:
            page = await run_in_threadpool(self.pages.upload, str(error))
            return HTMLResponse(page, 422)
        return RedirectResponse(f"/upload/{job.ticket}", 303)

    def _require_own_page(self, request: Request) -> None:
        """Forms of other sites do not send uploads in a visitor's name."""
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            raise HTTPException(403, "This form belongs to another site.")

    async def _files(self, request: Request) -> tuple[bytes, bytes]:
        """The bytes of both files; a request that is too large ends as soon as it shows."""
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            raise HTTPException(413, f"An upload has at most {MOST_BYTES:,} bytes.")
        limited = Request(request.scope, _limited(request.receive))
        try:
            async with limited.form(max_files=2, max_fields=4, max_part_size=MOST_TOML) as form:
                description = await _content(form.get("description"), MOST_TOML)
                program = await _content(form.get("program"), LARGEST)
        except ClientDisconnect:
            raise HTTPException(400, "The upload was broken off.") from None
        return description, program

    async def problem(self, request: Request, error: Exception) -> Response:
        """An error as a page; what the store does not have is not found."""
        status = error.status_code if isinstance(error, HTTPException) else 404
        text = str(error.detail) if isinstance(error, HTTPException) else str(error)
        if request.url.path.startswith("/static"):
            return PlainTextResponse(text, status)
        return HTMLResponse(await run_in_threadpool(self.pages.problem, status, text), status)


def _limited(receive: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """A stream that ends with an error where it has brought too much, whatever its header said."""
    seen = 0

    async def limited() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MOST_BYTES:
            raise HTTPException(413, f"An upload has at most {MOST_BYTES:,} bytes.")
        return message

    return limited


async def _content(part: object, most: int) -> bytes:
    """The bytes of an uploaded file; empty where there is none."""
    if not isinstance(part, UploadFile):
        return b""
    content = await part.read(most + 1)
    if len(content) > most:
        raise BenchmarkError(f"{(part.filename or 'a file')[:60]!r}: more than {most:,} bytes")
    return content
