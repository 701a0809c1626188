"""How long a learner waits for `tito check`: `python -m benchmarks.feedback [LESSON ...]`.

In a workspace in which everything is written (the reference, pasted), each lesson is checked by the command,
as a process of its own. The first feedback is the first line that says that an exercise passed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tinytorch import console
from tinytorch.learn.checks import ROOT
from tinytorch.learn.course import Lesson, course
from tinytorch.learn.stubs import paste, reference, stub_file
from tinytorch.learn.workspace import Workspace, begin

RUNS = 3


def write(workspace: Workspace, lesson: Lesson) -> None:
    """Write all exercises of a lesson into its work file."""
    text = stub_file(lesson)
    for exercise in lesson.exercises:
        text = paste(text, exercise, reference(exercise))
    workspace.work.mkdir(exist_ok=True)
    workspace.file(lesson).write_text(text, encoding="utf-8")


def check(workspace: Workspace, lesson: Lesson) -> tuple[float, float]:
    """Seconds until the first exercise has passed, and until the command ended."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tinytorch", "check", lesson.label],
        cwd=workspace.root,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert process.stdout is not None
    first = 0.0
    for line in process.stdout:
        if not first and line.startswith("  passed"):
            first = time.perf_counter() - begun
    if process.wait() != 0 or not first:
        raise SystemExit(f"tito check {lesson.label} does not pass")
    return first, time.perf_counter() - begun


def main(names: list[str]) -> None:
    """Print the medians of three runs for each lesson."""
    lessons = [course().lesson(name) for name in names] or list(course().lessons)
    with tempfile.TemporaryDirectory() as folder:
        workspace = begin(Path(folder))
        rows = []
        for lesson in course().until(lessons[-1]):
            write(workspace, lesson)
            if lesson in lessons:
                runs = sorted(check(workspace, lesson) for _ in range(RUNS))
                ends = sorted(end for _, end in runs)
                rows.append([lesson.label, lesson.title, runs[RUNS // 2][0], ends[RUNS // 2], ends[-1]])
    columns = ["", "lesson", "first feedback, s", "all, s", "slowest, s"]
    console.get().table(f"tito check, medians of {RUNS} runs", columns, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
