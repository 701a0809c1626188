"""The gate for lessons, `python -m tinytorch.learn.gate [LESSON ...]`: their checks tell right from wrong.

For each lesson: the text (readme), the shape of its exercises (form), each stub fails by name (stubs), the
reference passes, also on other seeds (reference), right answers written differently pass (alternatives),
hand-written wrong ones fail (mutants), the checks need nothing of later lessons (later), empty and constant
answers fail (empty), and of mutants that a library makes at least 90 % fail, the rest being listed
(generated).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tinytorch.errors import LearnError
from tinytorch.learn.checks import Report, task_for
from tinytorch.learn.course import Course, Exercise, Lesson
from tinytorch.learn.gate import mutants as made
from tinytorch.learn.gate import readme as text
from tinytorch.learn.gate.forks import Job, run_all
from tinytorch.learn.stubs import paste, reference, stub_file
from tinytorch.learn.work import Piece, functions, parse, pieces_of

KILLED = 0.9  # of the generated mutants, at least
LINES = 25  # of an exercise's body, about: a few more are let pass
MORE_SEEDS = (1, 2)  # on which right answers are run besides the day's, and wrong ones that passed on it
OF_FILES = ("form", "readme")  # parts that run no checks
WRONG = ("mutants", "empty", "generated")  # parts of which each answer is wrong; an exercise's run together
PARTS = (*OF_FILES, "reference", "stubs", "alternatives", "later", *WRONG)


@dataclass
class Verdict:
    """What the gate found for one part of a lesson."""

    done: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Verdicts = dict[tuple[str, str], Verdict]


class Gate:
    """The runs that some lessons need, and what came of them."""

    def __init__(
        self, course: Course, lessons: Sequence[Lesson], seed: int, only: str | None, folder: Path
    ) -> None:
        self.course, self.lessons, self.seed, self.folder = course, lessons, seed, folder
        self.only = only
        self.verdicts: Verdicts = {}
        self.killed: dict[str, list[tuple[made.Mutant, bool]]] = {}

    def verdict(self, lesson: Lesson, part: str) -> Verdict:
        """The verdict to enter something into."""
        return self.verdicts.setdefault((lesson.label, part), Verdict())

    def exercises(self, lesson: Lesson) -> list[Exercise]:
        """Those that are looked at."""
        return [e for e in lesson.exercises if self.only in (None, e.name)]

    # ------------------------------------------------------------ parts without runs

    def form(self, lesson: Lesson) -> None:
        """The shape of a lesson: how many exercises, how long, hints, and what covers each."""
        verdict = self.verdict(lesson, "form")
        verdict.done = len(lesson.exercises)
        if not 5 <= len(lesson.exercises) <= 12:
            verdict.problems.append(f"{len(lesson.exercises)} exercises; 5 to 12 are wanted")
        groups: dict[str, set[str]] = {}
        mutated = {name for path in _files(lesson, "mutants") for name in _names(lesson, path)}
        for path in _files(lesson, "alternatives"):
            for name in _names(lesson, path):
                groups.setdefault(lesson.exercise(name).group, set()).add(path.name)
        for exercise in lesson.exercises:
            lines = made.lines_of(exercise)
            if lines > LINES + 5:
                verdict.problems.append(f"{exercise.name} has {lines} lines")
            if len(exercise.hints) != 3:
                verdict.problems.append(f"{exercise.name} has {len(exercise.hints)} hints, not three")
            if exercise.name not in mutated:
                verdict.problems.append(f"{exercise.name} has no hand-written mutant")
            if len(groups.get(exercise.group, ())) < 2:
                verdict.problems.append(f"group {exercise.group} ({exercise.name}) has no two alternatives")

    def readme(self, lesson: Lesson) -> None:
        """The text of a lesson."""
        verdict = self.verdict(lesson, "readme")
        verdict.done = 1
        verdict.problems += text.problems(lesson)

    # ------------------------------------------------------------ parts that run checks

    def reference(self, lesson: Lesson) -> Iterator[Job]:
        """The reference passes, on the seed of the day and on others."""
        for seed in (self.seed, *MORE_SEEDS):
            yield self._job(lesson, "reference", [], True, f"seed {seed}", seed=seed, stop=False)
        job = self._job(lesson, "reference", self._pasted(lesson), True, "a work file of all", stop=False)
        job.note.all_run = True
        yield job

    def _pasted(self, lesson: Lesson) -> list[Piece]:
        """All exercises in one work file, made as a learner's is, each with the body of the reference."""
        work = stub_file(lesson)
        for exercise in lesson.exercises:
            work = paste(work, exercise, reference(exercise))
        path = self.folder / lesson.work_name
        path.write_text(work, encoding="utf-8")
        return pieces_of([(e.module, e.name) for e in lesson.exercises], path)

    def stubs(self, lesson: Lesson) -> Iterator[Job]:
        """Each exercise's stub alone fails its own checks, by name."""
        for e in self.exercises(lesson):
            yield self._job(lesson, "stubs", [Piece(e.module, e.name, None)], e.name, e.name, exercise=e.name)

    def later(self, lesson: Lesson) -> Iterator[Job]:
        """The checks pass though all later lessons are stubs; an exercise's, though those after it are."""
        later = [
            Piece(e.module, e.name, None) for after in self.course.after(lesson) for e in after.exercises
        ]
        yield self._job(lesson, "later", later, True, "all later lessons stubbed", stop=False)
        for i, e in enumerate(lesson.exercises[:-1]):
            rest = [Piece(n.module, n.name, None) for n in lesson.exercises[i + 1 :]]
            if e in self.exercises(lesson):
                yield self._job(
                    lesson, "later", rest, True, f"{e.name} without the exercises after it", exercise=e.name
                )

    def alternatives(self, lesson: Lesson) -> Iterator[Job]:
        """Right answers that are written differently pass, on several seeds."""
        for path in _files(lesson, "alternatives"):
            for seed in (self.seed, *MORE_SEEDS):
                pieces = _pieces(lesson, path)
                yield self._job(
                    lesson, "alternatives", pieces, True, f"{path.name}, seed {seed}", seed=seed, stop=False
                )

    def wrong(self, lesson: Lesson, parts: Sequence[str]) -> Iterator[Job]:
        """Wrong answers fail: those written by hand, empty and constant ones, and mutants of a library.

        A process that has loaded all is given one after the other of an exercise's; an answer that cannot
        be given to it has a run of its own.
        """
        files = _files(lesson, "mutants") if "mutants" in parts else []
        written = [(self._written(lesson, path), path) for path in files]
        for exercise in self.exercises(lesson):
            own = [(mutant, path) for mutant, path in written if mutant.exercise == exercise]
            for mutant, path in own:
                if not mutant.alone:
                    yield self._with_all_checks(lesson, mutant, path)
            batch = [mutant for mutant, _ in own if mutant.alone]
            batch += made.constant_answers(exercise) if "empty" in parts else ()
            batch += made.generated(exercise) if "generated" in parts else ()
            if batch:
                yield self._batch(lesson, exercise, batch)

    def _written(self, lesson: Lesson, path: Path) -> made.Mutant:
        names = [piece.name for piece in _pieces(lesson, path)]
        return made.written(lesson.exercise(self.only if self.only in names else names[0]), path)

    def _batch(self, lesson: Lesson, exercise: Exercise, batch: list[made.Mutant]) -> Job:
        job = self._job(lesson, batch[0].part, [], None, exercise.name, exercise=exercise.name)
        job.mutants = [(str(self._write(m, i)), exercise.id) for i, m in enumerate(batch)]
        job.timeout = 600.0
        job.note.batch = batch
        return job

    def _with_all_checks(
        self, lesson: Lesson, mutant: made.Mutant, file: Path, seeds: Sequence[int] | None = None
    ) -> Job:
        """A run of all checks of the lesson, the exercise's first, with the package imported anew.

        `seeds`: those to try, one after the other, until one fails it; the day's and others by default.
        """
        first, *rest = (self.seed, *MORE_SEEDS) if seeds is None else seeds
        pieces, name = _pieces(lesson, file), mutant.exercise.name
        job = self._job(lesson, mutant.part, pieces, None, mutant.change, first=name, seed=first)
        job.note.mutant, job.note.file, job.note.seeds = mutant, file, rest
        return job

    def _write(self, mutant: made.Mutant, number: int) -> Path:
        name = f"{mutant.exercise.lesson}-{mutant.exercise.name}-{number}.py"
        path = self.folder / name
        path.write_text(mutant.text, encoding="utf-8")
        return path

    def _job(
        self,
        lesson: Lesson,
        part: str,
        pieces: Sequence[Piece],
        want: Literal[True] | str | None,
        name: str,
        *,
        exercise: str | None = None,
        first: str | None = None,
        seed: int | None = None,
        stop: bool = True,
    ) -> Job:
        task = task_for(
            lesson,
            pieces,
            exercise=exercise,
            first=first,
            seed=self.seed if seed is None else seed,
            stop_at_first=stop,
        )
        return Job(name, lesson, task, note=Note(part, want))

    # ------------------------------------------------------------ what came of a run

    def enter(self, job: Job, report: Report) -> list[Job]:
        """Enter the report of a run; returns the runs that have to follow."""
        note: Note = job.note
        failure = report.failure
        if note.batch:
            return self._enter_batch(job, report)
        if note.mutant is not None:
            if failure is None and note.seeds:
                return [self._with_all_checks(job.lesson, note.mutant, note.file, note.seeds)]
            self._enter_mutant(job.lesson, note.mutant, killed=failure is not None)
            if failure is not None and report.seed != self.seed:
                chance = f"{note.mutant.exercise.name} is caught on some seeds only: {note.mutant.change}"
                self.verdict(job.lesson, note.mutant.part).notes.append(chance)
            return []
        verdict = self.verdict(job.lesson, note.part)
        verdict.done += 1
        if note.want is True:
            verdict.problems += [f"{job.name}: {_told(f)}" for f in report.failures]
            if not report.total:
                verdict.problems.append(f"{job.name}: there are no checks")
            idle = {e.name for e in job.lesson.exercises} - {name for name, _, _ in report.ran}
            if note.all_run and idle:
                verdict.problems.append(f"{job.name}: no check runs {', '.join(sorted(idle))}")
        elif isinstance(note.want, str):
            if failure is None:
                verdict.problems.append(f"{job.name}: no check fails on its stub")
            elif (failure.kind, failure.exercise) != ("unwritten", note.want):
                verdict.problems.append(f"{job.name}: the failure does not name it: {_told(failure)}")
        return []

    def _enter_batch(self, job: Job, report: Report) -> list[Job]:
        """Enter how wrong answers ended; returns runs of those that their own checks let pass, unlisted."""
        follow = []
        if report.failures:
            verdict = self.verdict(job.lesson, job.note.part)
            verdict.problems.append(f"{job.name}: {_told(report.failures[0])}")
        listed = self._listed(job.lesson)
        for number, mutant in enumerate(job.note.batch):
            end = report.mutants.get(number, "none")
            by_hand = mutant.part == "mutants"
            if end == "killed" or (end == "late" and not by_hand):  # those by hand get a learner's time
                self._enter_mutant(job.lesson, mutant, killed=True)
            elif end == "survived" and mutant.part == "generated" and mutant.key in listed:
                self._enter_mutant(job.lesson, mutant, killed=False)
            elif end in ("survived", "whole", "late"):
                follow.append(self._with_all_checks(job.lesson, mutant, Path(job.mutants[number][0])))
            elif not report.failures:
                self.verdict(job.lesson, mutant.part).problems.append(f"{mutant.change} was not run")
        return follow

    def _enter_mutant(self, lesson: Lesson, mutant: made.Mutant, killed: bool) -> None:
        verdict = self.verdict(lesson, mutant.part)
        verdict.done += 1
        if mutant.part == "generated":
            self.killed.setdefault(lesson.label, []).append((mutant, killed))
        elif not killed and mutant.part == "empty":
            verdict.problems.append(f"{mutant.exercise.name} passes with a body of `{mutant.change}`")
        elif not killed:
            verdict.problems.append(f"{mutant.change} passes")

    def _listed(self, lesson: Lesson) -> set[tuple[str, str]]:
        return {(s.exercise, s.change) for s in made.survivors(lesson)}

    def unlisted(self) -> list[made.Mutant]:
        """Generated mutants that survived and that no survivors.toml lists."""
        found = []
        for lesson in self.lessons:
            listed = self._listed(lesson)
            found += [
                m for m, killed in self.killed.get(lesson.label, ()) if not killed and m.key not in listed
            ]
        return found

    def conclude(self) -> None:
        """Judge the generated mutants: how many were killed, and whether each survivor is listed."""
        for lesson in self.lessons:
            found = self.killed.get(lesson.label)
            if not found:
                continue
            verdict = self.verdict(lesson, "generated")
            dead = sum(killed for _, killed in found)
            verdict.notes.append(f"{dead} of {len(found)} killed, {dead / len(found):.1%}")
            if dead < KILLED * len(found):
                verdict.problems.append(f"only {dead} of {len(found)} killed; {KILLED:.0%} are wanted")
            there = {m.key: killed for m, killed in found}
            looked_at = {e.name for e in self.exercises(lesson)}
            for listed in made.survivors(lesson):
                if listed.exercise in looked_at and there.get((listed.exercise, listed.change), True):
                    verdict.notes.append(f"listed, but killed: {listed.exercise}: {listed.change}")
        for mutant in self.unlisted():
            verdict = self.verdict(self.course.lesson(mutant.exercise.lesson), "generated")
            verdict.problems.append(f"{mutant.exercise.name}: survivor not listed: {mutant.change}")


@dataclass
class Note:
    """What a run is for and what it must come to: pass (True), or fail by this name.

    `batch`, `mutant`: the wrong answers that it is for, which must fail, or the single one, which stands in
    `file` and may be tried on more `seeds`; `all_run`: whether each exercise must have run.
    """

    part: str
    want: Literal[True] | str | None
    batch: list[made.Mutant] = field(default_factory=list)
    mutant: made.Mutant | None = None
    file: Path = Path()
    seeds: Sequence[int] = ()
    all_run: bool = False


def _told(failure: Any) -> str:
    what = failure.error or f"{failure.got}; expected {failure.expected}. {failure.difference}"
    return f"{failure.exercise} [{failure.kind}] {failure.test} {failure.called} {what}"


def _files(lesson: Lesson, folder: str) -> list[Path]:
    return sorted((lesson.folder / folder).glob("*.py"))


def _names(lesson: Lesson, path: Path) -> list[str]:
    """The exercises of a lesson that a work file holds."""
    exercises = {exercise.name for exercise in lesson.exercises}
    return [name for name, _ in functions(parse(path)) if name in exercises]


def _pieces(lesson: Lesson, path: Path) -> list[Piece]:
    found = [Piece(lesson.exercise(name).module, name, str(path)) for name in _names(lesson, path)]
    if not found:
        raise LearnError(f"{path} holds no exercise of lesson {lesson.label}")
    return found


def run_gate(gate: Gate, parts: Sequence[str], workers: int, on_done: Callable[[], None]) -> None:
    """Run the parts that are asked for; the verdicts are in the gate afterwards."""
    of_files = [(part, lesson) for part in OF_FILES if part in parts for lesson in gate.lessons]
    with ThreadPoolExecutor(workers) as pool:  # each waits for processes that run a text's snippets
        for _ in pool.map(lambda one: getattr(gate, one[0])(one[1]), of_files):
            on_done()
    right = [part for part in parts if part not in (*OF_FILES, *WRONG)]
    jobs = (
        job
        for lesson in gate.lessons
        for runs in (*(getattr(gate, part)(lesson) for part in right), gate.wrong(lesson, parts))
        for job in runs
    )
    waiting: Iterable[Job] = jobs
    while waiting:
        follow: list[Job] = []
        for job, report in run_all(waiting, workers):
            follow += gate.enter(job, report)
            on_done()
        waiting = follow
    gate.conclude()
