"""A web server on this machine that breaks off, changes its mind, or has never heard of ranges."""

import contextlib
import dataclasses
import http.server
import re
import threading


@dataclasses.dataclass
class Site:
    """What the server does, to be changed while it runs.

    Attributes:
      files: contents by path, ``"/net.caffemodel"``.
      ranges: whether it answers ``Range`` requests.
      tag: its mark of the version.
      cuts: after so many bytes the connection closes; one entry per request, used up in turn.
      statuses: error codes to answer with; one entry per request, used up in turn.
      lies: how far the range it claims to send is from the one it sends.
      sends_length: whether it says how much there is.
      requests: what was asked: ``(path, Range header, If-Range header)``.
      sent: bytes sent in all.
    """

    files: dict[str, bytes]
    ranges: bool = True
    tag: str | None = '"one"'
    cuts: list[int] = dataclasses.field(default_factory=list)
    statuses: list[int] = dataclasses.field(default_factory=list)
    lies: int = 0
    sends_length: bool = True
    requests: list[tuple[str, str | None, str | None]] = dataclasses.field(default_factory=list)
    sent: int = 0
    address: str = ""


@contextlib.contextmanager
def serve(files):
    """A running `Site` with these files."""
    site = Site(files)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self, site)

        def log_message(self, *about):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        site.address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def answer(handler, site):
    asked, version = handler.headers.get("Range"), handler.headers.get("If-Range")
    site.requests.append((handler.path, asked, version))
    if site.statuses:
        handler.send_error(site.statuses.pop(0))
        return
    if handler.path not in site.files:
        handler.send_error(404)
        return
    content, start = site.files[handler.path], 0
    if site.ranges and asked and version in (None, site.tag):
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        if start >= len(content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
    handler.send_response(206 if start else 200)
    if start:
        claimed = f"bytes {start + site.lies}-{len(content) - 1}/{len(content)}"
        handler.send_header("Content-Range", claimed)
    if site.sends_length:
        handler.send_header("Content-Length", str(len(content) - start))
    if site.tag:
        handler.send_header("ETag", site.tag)
    handler.end_headers()
    body = content[start:]
    body = body[: site.cuts.pop(0)] if site.cuts else body
    site.sent += len(body)
    handler.wfile.write(body)
