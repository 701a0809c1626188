"""Grades many workspaces: each in boxes of its own, on a package without solutions, exercise by exercise."""

from __future__ import annotations

import ast
import contextlib
import json
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tinytorch.errors import LearnError, SandboxError
from tinytorch.learn.course import Course, Exercise, Lesson
from tinytorch.learn.grading import review
from tinytorch.learn.grading.package_copy import PACKAGE, package_without
from tinytorch.learn.grading.submission_run import Suite, Verdict, caught, judge, prepare, python, run_suite
from tinytorch.learn.scope import find as find_function
from tinytorch.learn.scope import module_source
from tinytorch.learn.work import Piece
from tinytorch.sandbox import sandbox

LARGEST = 512 * 1024  # bytes of a work file
ALONE = 20.0  # seconds of the processor at most for one exercise that is run alone
WAITING = 4.0  # seconds on the clock for each of the processor: on a busy machine code waits its turn
Status = Literal["passed", "failed", "unwritten", "refused", "ended"]


@dataclass(frozen=True)
class Mark:
    """What one exercise of one submission got, and why."""

    exercise: Exercise
    status: Status
    text: str = ""
    hidden: bool = False  # whether only hidden checks say so

    @property
    def points(self) -> float:
        """All of its points or none."""
        return self.exercise.points if self.status == "passed" else 0.0


@dataclass
class Grade:
    """What a submission got."""

    name: str
    marks: list[Mark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def score(self) -> float:
        """Sum of the points."""
        return sum(mark.points for mark in self.marks)

    @property
    def max_score(self) -> float:
        """Sum of the points that could be had."""
        return sum(mark.exercise.points for mark in self.marks)


@dataclass(frozen=True)
class Plan:
    """What is graded: lessons, hidden checks, lessons whose reference is given, limits."""

    course: Course
    lessons: tuple[Lesson, ...]
    given: tuple[Lesson, ...] = ()
    hidden: Path | None = None
    seed: int = 0
    timeout: float = 60.0  # seconds of the processor for a lesson
    memory: int = 4096 * sandbox.MIB
    review: bool = True


def limits(seconds: float, memory: int) -> sandbox.Limits:
    """The limits of one box: seconds of the processor, bytes."""
    return sandbox.Limits(wall=WAITING * seconds, cpu=seconds, memory=memory)


def chosen(course: Course, text: str | None) -> tuple[Lesson, ...]:
    """The lessons that `02,05-07` names, in order; all without a text; raises LearnError."""
    if text is None:
        return course.lessons
    found: list[Lesson] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        ends = [course.lessons.index(course.lesson(end)) for end in (first, last or first)]
        found += course.lessons[ends[0] : ends[1] + 1]
        if ends[0] > ends[1]:
            raise LearnError(f"{part.strip()} runs backwards: the lower lesson stands first")
    return tuple(lesson for lesson in course.lessons if lesson in found)


def submissions(folder: Path) -> dict[str, Path]:
    """The workspaces in a folder, or one folder further down, by name; raises LearnError."""
    if not folder.is_dir():
        raise LearnError(f"{folder} is no folder of workspaces")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_dir():
            continue
        for place in [path, *sorted(p for p in path.iterdir() if p.is_dir() and not p.is_symlink())]:
            if (place / "tito.toml").is_file():
                found[path.name] = place
                break
    if not found:
        raise LearnError(f"{folder} holds no workspaces: folders with a tito.toml")
    return found


class Grader:
    """Grades submissions by one plan; a context manager, for it keeps copies in a folder."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.missing: dict[str, str] = {}
        self.limits = limits(plan.timeout, plan.memory)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Grader:
        base = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tito-grade-"))).resolve()
        base.chmod(0o711)
        self._base = base
        try:
            stubbed = [
                e
                for lesson in self.plan.course.lessons
                if lesson not in self.plan.given
                for e in lesson.exercises
            ]
            self.package = package_without(stubbed, base / "package")
            self.suites = {lesson.label: list(self._prepared(lesson)) for lesson in self.plan.lessons}
            self.allowed = {lesson.label: allowed(lesson) for lesson in self.plan.course.lessons}
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _prepared(self, lesson: Lesson) -> Iterator[Suite]:
        """Our checks of a lesson and the teacher's; raises LearnError for an exercise without any."""
        sources = [(lesson.checks, False)]
        if self.plan.hidden is not None:
            own = [self.plan.hidden / name for name in (lesson.folder.name, lesson.label)]
            sources += [(path, True) for path in own if path.is_dir()][:1]
        suites = []
        for checks, hidden in sources:
            folder = self._base / f"{lesson.label}-{secrets.token_hex(4)}"
            suites.append(prepare(lesson, checks, folder, self.plan.seed, hidden))
        unchecked = [
            e.name for e in lesson.exercises if not any(suite.checks.get(e.name) for suite in suites)
        ]
        if unchecked:
            raise LearnError(f"lesson {lesson.label}: nothing checks {', '.join(unchecked)}")
        yield from suites

    def grade(self, name: str, workspace: Path) -> Grade:
        """Grade one workspace; whatever is wrong with it costs its own points only."""
        grade = Grade(name)
        folder = self._base / secrets.token_hex(8)
        try:
            folder.mkdir(mode=0o755)
            submission = Submission(self, workspace, folder, grade)
            for lesson in self.plan.lessons:
                grade.marks += submission.marks(lesson)
        except (OSError, LearnError, SandboxError) as error:
            text = "this submission could not be graded"
            grade.notes.append(f"{text}: {error}")
            marked = {mark.exercise.id for mark in grade.marks}
            every = [e for lesson in self.plan.lessons for e in lesson.exercises]
            grade.marks += [Mark(e, "failed", text) for e in every if e.id not in marked]
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # the folder around it is removed in the end
        return grade

    def all(self, found: dict[str, Path], jobs: int, done: Callable[[Grade], object]) -> list[Grade]:
        """Grade all of them, `jobs` at a time; `done` hears of each as it is finished."""

        def one(item: tuple[str, Path]) -> Grade:
            grade = self.grade(*item)
            done(grade)
            return grade

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, found.items()))


def allowed(lesson: Lesson) -> list[str]:
    """What the exercises of a lesson may use beside the ordinary because the reference of one does."""
    found: set[str] = set()
    for exercise in lesson.exercises:
        function = find_function(ast.parse(module_source(exercise.module)), exercise.name)
        if function is not None:
            found |= {what for _, what in review.offences(function)}
    return sorted(found | {f"import {what}" for what in found})


class Submission:
    """One workspace being graded."""

    def __init__(self, grader: Grader, workspace: Path, folder: Path, grade: Grade) -> None:
        self.grader, self.folder, self.grade = grader, folder, grade
        self.plan = grader.plan
        self.errors: dict[str, str] = {}  # lesson: why its file cannot be read
        self.refused: dict[str, str] = {}  # exercise id: what it uses
        self.pieces: dict[str, list[tuple[Exercise, Piece]]] = {}
        files = {}
        for lesson in self.plan.course.lessons:
            path = workspace / "work" / lesson.work_name
            if lesson in self.plan.given:
                continue
            try:
                self._take(lesson, path)
            except OSError as error:
                self.errors[lesson.label] = f"{path.name} cannot be read: {error.strerror}"
                continue
            files[lesson.label] = folder / lesson.work_name
        self._review({label: path for label, path in files.items() if path.exists()})

    def _take(self, lesson: Lesson, path: Path) -> None:
        """Copy a work file, if there is one: a plain file of a sensible size, in a folder that is no link."""
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return  # this lesson was not handed in
        if not stat.S_ISREG(status.st_mode) or path.parent.is_symlink():
            self.errors[lesson.label] = f"{path.name} is not a plain file"
        elif status.st_size > LARGEST:
            self.errors[lesson.label] = f"{path.name} is larger than {LARGEST // 1024} KiB"
        else:
            copy = self.folder / path.name
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o644)

    def _review(self, files: dict[str, Path]) -> None:
        """Have the files read in a box, and note what each holds."""
        course = {lesson.label: lesson for lesson in self.plan.course.lessons}
        wanted = {
            str(path): dict.fromkeys((e.name for e in course[label].exercises), self.grader.allowed[label])
            for label, path in files.items()
        }
        learn = self.grader.package / PACKAGE.name / "learn"
        outcome = sandbox.run(
            [python(), "-I", "-S", "-B", str(learn / "grading" / "review.py")],
            read=[learn, self.folder],
            limits=sandbox.Limits(wall=30, cpu=30, memory=1024 * sandbox.MIB, output=8 * sandbox.MIB),
            stdin=json.dumps(wanted).encode(),
        )
        self.grader.missing |= outcome.missing
        whole = outcome.stdout.split(b"\n")[:-1]  # what was cut off ends in the middle of a line
        found: dict[str, Any] = dict(map(json.loads, whole))
        for label, path in files.items():
            result = found.get(str(path), {"error": f"Python cannot read it: the reader was {outcome}"})
            if "error" in result:
                self.errors[label] = f"{path.name}, {result['error']}"
                continue
            for exercise in course[label].exercises:
                offences = result["exercises"].get(exercise.name)
                if offences is None:
                    continue
                what = "; ".join(f"line {line}: {text}" for line, text in offences)
                if what:
                    self.grade.notes.append(
                        f"{path.name}, {exercise.name}: reaches beyond its exercise: {what}"
                    )
                if what and self.plan.review:
                    self.refused[exercise.id] = what
                else:
                    piece = Piece(exercise.module, exercise.name, str(path))
                    self.pieces.setdefault(label, []).append((exercise, piece))

    def marks(self, lesson: Lesson) -> list[Mark]:
        """The marks of one lesson's exercises."""
        written = [exercise for exercise, _ in self.pieces.get(lesson.label, [])]
        marks = {e.name: self._unmarked(lesson, e) for e in lesson.exercises if e not in written}
        alive = written
        for suite in self.grader.suites[lesson.label]:
            if not alive:
                break
            cheat, verdicts = self._verdicts(suite, written)
            if cheat:
                text = "the code gets at the checks: it passed one that asked for something wrong"
                self.grade.notes.append(f"{lesson.work_name}: {text} ({cheat})")
                return [Mark(exercise, "refused", text) for exercise in lesson.exercises]
            for exercise in alive:
                status, verdict = verdicts[exercise.name]
                marks[exercise.name] = Mark(
                    exercise, status, verdict.text, suite.hidden and status != "passed"
                )
            alive = [exercise for exercise in alive if marks[exercise.name].status == "passed"]
        return [marks[exercise.name] for exercise in lesson.exercises]

    def _unmarked(self, lesson: Lesson, exercise: Exercise) -> Mark:
        """The mark of an exercise that does not run at all."""
        if lesson.label in self.errors:
            return Mark(exercise, "failed", self.errors[lesson.label])
        if exercise.id in self.refused:
            return Mark(exercise, "refused", f"reaches beyond its exercise: {self.refused[exercise.id]}")
        return Mark(exercise, "unwritten", "not written")

    def _verdicts(
        self, suite: Suite, written: Sequence[Exercise]
    ) -> tuple[str, dict[str, tuple[Status, Verdict]]]:
        """What a suite says of each exercise, and the check that a cheat was caught by.

        All run in one box; where the code ended that before its time, each exercise runs in a box of its own.
        """
        grader = self.grader
        lesson, read = suite.lesson, [self.folder]
        run = run_suite(suite, self._upto(lesson), grader.package, self.plan.seed, grader.limits, read=read)
        self._note(run.outcome)
        if run.clean:
            verdicts = {e.name: judge(suite, run, e.name) for e in written}
            return caught(suite, run), {
                n: ("passed" if v.passed else "failed", v) for n, v in verdicts.items()
            }
        found: dict[str, tuple[Status, Verdict]] = {}
        bounds = limits(min(ALONE, self.plan.timeout), self.plan.memory)
        for exercise in written:
            if len(written) > 1:
                pieces = self._upto(lesson, exercise)
                run = run_suite(suite, pieces, grader.package, self.plan.seed, bounds, exercise, read)
                self._note(run.outcome)
            if (cheat := caught(suite, run)) != "":
                return cheat, {}
            verdict = judge(suite, run, exercise.name) if run.clean else Verdict(False, run.end)
            found[exercise.name] = (
                "passed" if verdict.passed else "failed" if run.clean else "ended",
                verdict,
            )
        return "", found

    def _upto(self, lesson: Lesson, last: Exercise | None = None) -> list[Piece]:
        """The pieces of the lessons before, and of this one up to an exercise."""
        until: Iterable[Lesson] = self.plan.course.until(lesson)
        pieces = [pair for part in until for pair in self.pieces.get(part.label, [])]
        order = lesson.exercises
        return [
            piece
            for exercise, piece in pieces
            if last is None or exercise.lesson != lesson.label or order.index(exercise) <= order.index(last)
        ]

    def _note(self, outcome: sandbox.Outcome) -> None:
        self.grade.seconds += outcome.seconds
        self.grader.missing |= outcome.missing
