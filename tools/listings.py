"""Write what the snippets of a document print below them: python tools/listings.py docs/compiler.md"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAIR = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
"""A snippet, and right below it what it prints, if that is shown."""
RUN = """
import contextlib, io, json, sys
names = {"__name__": "__main__"}
said = []
for code, line, name in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile("\\n" * line + code, name, "exec"), names)
    said.append(out.getvalue())
print(json.dumps(said))
"""


def rewritten(text: str, name: str = "document") -> str:
    """The text with what its snippets print, run one after the other in one namespace of a fresh process.

    What a snippet prints is shown if a text block stands right below it. Raises CalledProcessError for a
    snippet that fails; its message is on standard error.
    """
    found = list(PAIR.finditer(text))
    cells = [(one[1], text.count("\n", 0, one.start(1)), name) for one in found]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(cells),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    parts, end = [], 0
    for one, said in zip(found, json.loads(done.stdout), strict=True):
        if one[2] is not None:
            parts += [text[end : one.start(2)], said]
            end = one.end(2)
    return "".join([*parts, text[end:]])


def main(names: list[str]) -> None:
    """Rewrite the documents named."""
    for name in names:
        path = Path(name)
        before = path.read_text(encoding="utf-8")
        after = rewritten(before, path.name)
        path.write_text(after, encoding="utf-8")
        print(f"{name}: {'changed' if after != before else 'as it was'}")


if __name__ == "__main__":
    main(sys.argv[1:])
