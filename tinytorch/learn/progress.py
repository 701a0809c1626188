"""What a workspace remembers in .tito/progress.json: what passed, what was shown, which stubs were given."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from tinytorch.errors import LearnError, TinyTorchError
from tinytorch.learn.course import Exercise, Lesson
from tinytorch.learn.workspace import Workspace
from tinytorch.training.files import write_whole


@dataclass
class Progress:
    """By exercise (`module:Qualified.name`): when its checks passed, how many hints were shown, when its
    solution was given up for, and the signature and docstring that its stub had. By milestone (`1969_xor`):
    when it passed on the learner's code."""

    path: Path
    passed: dict[str, str] = field(default_factory=dict)
    hints: dict[str, int] = field(default_factory=dict)
    gave_up: dict[str, str] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    milestones: dict[str, str] = field(default_factory=dict)

    def save(self) -> None:
        """Write it to its file, whole or not at all; raises LearnError where that cannot be."""
        content = asdict(self)
        del content["path"]
        try:
            write_whole(self.path, json.dumps(content, indent=1, sort_keys=True).encode())
        except TinyTorchError as error:
            raise LearnError(f"progress cannot be kept: {error}") from None

    def enter(self, lesson: Lesson, report_done: Iterable[str], failed: Iterable[str]) -> None:
        """Note exercises of a lesson (by qualified name) that passed now, and those that did not."""
        for name in report_done:
            self.passed.setdefault(lesson.exercise(name).id, now())
        for name in failed:
            self.passed.pop(lesson.exercise(name).id, None)

    def missing(self, lesson: Lesson) -> list[Exercise]:
        """The exercises of a lesson that did not pass yet, in order."""
        return [exercise for exercise in lesson.exercises if exercise.id not in self.passed]


def enter(workspace: Workspace, lesson: Lesson, done: Iterable[str], failed: Iterable[str]) -> Progress:
    """Note a run's results in the progress as it is by now: another command may have written meanwhile."""
    progress = load(workspace)
    progress.enter(lesson, done, failed)
    progress.save()
    return progress


def load(workspace: Workspace) -> Progress:
    """The progress of a workspace, empty for a new one; raises LearnError for a file that cannot be read."""
    path = workspace.state / "progress.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Progress(path)
    except (OSError, ValueError) as error:
        raise LearnError(f"{path} cannot be read ({error}). {_CURE}") from None
    kinds = {"passed": str, "hints": int, "gave_up": str, "heads": str, "milestones": str}
    for name, kind in kinds.items():
        part = content.get(name, {}) if isinstance(content, dict) else None
        if not isinstance(part, dict) or not all(isinstance(value, kind) for value in part.values()):
            raise LearnError(f"{path} is damaged. {_CURE}")
    known = {f.name for f in fields(Progress)} - {"path"}
    return Progress(path, **{name: part for name, part in content.items() if name in known})


_CURE = "Delete it: your code is not in it, and tito check enters again what passes."


def now() -> str:
    """The time as it is noted: in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
