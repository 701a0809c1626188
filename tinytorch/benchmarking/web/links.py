"""Where pages are: on a server by path, in an export by the names of files."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, urlencode


class ServerLinks:
    """Paths of the server.

    >>> ServerLinks().board("mlp_sprint", "open", "size", "", 2)
    '/board/mlp_sprint/open?by=size&page=2'
    """

    live = True

    def page(self, name: str) -> str:
        """A page, or a static file by its ending."""
        if "." in name:
            return f"/static/{name}"
        return "/" if name == "index" else f"/{name}"

    def board(self, event: str, division: str, by: str, fingerprint: str = "", page: int = 1) -> str:
        """A board."""
        given = {"by": by, "machine": fingerprint, "page": "" if page == 1 else str(page)}
        query = urlencode({key: value for key, value in given.items() if value and value != "overall"})
        return f"/board/{quote(event)}/{quote(division)}" + (f"?{query}" if query else "")

    def entry(self, number: int) -> str:
        """A record."""
        return f"/entry/{number}"

    def team(self, name: str) -> str:
        """A team."""
        return f"/team/{quote(name, safe='')}"


class FileLinks:
    """Names of exported files, all in one folder.

    >>> FileLinks().team("our team")
    'team-our-team-24f263cf.html'
    """

    live = False

    def page(self, name: str) -> str:
        """A page, or a static file by its ending."""
        return name if "." in name else f"{name}.html"

    def board(self, event: str, division: str, by: str, fingerprint: str = "", page: int = 1) -> str:
        """A board; of the machine with most results where none is named."""
        parts = [event, division, by, fingerprint[:16], "" if page == 1 else str(page)]
        return "-".join(["board", *filter(None, parts)]) + ".html"

    def entry(self, number: int) -> str:
        """A record."""
        return f"entry-{number}.html"

    def team(self, name: str) -> str:
        """A team: its name as far as every file system takes it, and a hash, as those of two may be alike."""
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        return f"team-{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.html"
