"""`tito bench`: TinyMLPerf, its events, entries, boards and records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from tinytorch import console

if TYPE_CHECKING:
    from tinytorch.benchmarking.result import Ratios
    from tinytorch.benchmarking.store.leaderboard import Leaderboard

EVENT = click.argument("event_name", metavar="EVENT")
STORE = click.option("--store", metavar="PATH|URL", help="The store of results; by default the user's own.")
STRICT = click.option(
    "--strict", is_flag=True, help="Refuse to run where this machine cannot isolate entries."
)
DIVISIONS = click.Choice(["closed", "open"])
BOARDS = click.Choice(["overall", "speed", "memory", "size"])


@click.group(name="bench")
def command() -> None:
    """TinyMLPerf: enter a model in one of three events, and see where it stands.

    Entries are measured here, beside the baseline, in processes of their own. TinyMLPerf is not affiliated
    with MLCommons.

    \b
    tito bench list
    tito optimize mlp_sprint --out entry.toml
    tito bench run entry.toml
    tito bench submit entry.toml
    """


def _board(store: str | None) -> Leaderboard:
    from tinytorch.benchmarking.store.leaderboard import Leaderboard

    return Leaderboard(store)


@command.command(name="list")
def list_events() -> None:
    """List the events, their baselines and gates."""
    from tinytorch.benchmarking.events import EVENTS

    rows = []
    for one in EVENTS.values():
        kept = f"{one.quality} at {'least' if one.kind == 'images' else 'most'} {one.gate:.0%}"
        rows.append([one.name, one.title, one.data, one.model, kept, ", ".join((*one.parts, "offline"))])
    console.table("Events of TinyMLPerf", ["event", "title", "data", "baseline", "gate", "timed"], rows)
    console.say("Gates are shares of the baseline's figure on test data. Rules: docs/tinymlperf.md")


@command.command()
@EVENT
@click.option("--quick", is_flag=True, help="In seconds, unranked.")
@STRICT
def baseline(event_name: str, quick: bool, strict: bool) -> None:
    """Measure the baseline of EVENT beside a copy of itself: what noise looks like here."""
    from tinytorch.benchmarking import events
    from tinytorch.benchmarking.entry import Entry, described
    from tinytorch.benchmarking.measure import measure
    from tinytorch.benchmarking.text import result_text

    says = described({"event": event_name, "team": "TinyTorch", "description": "the baseline"})
    result, _ = measure(Entry(says, events.baseline(event_name)), quick=quick, strict=strict)
    console.say(result_text(result))


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--event", "event_name", metavar="EVENT", help="The event, for a program without a .toml file.")
@click.option("--quick", is_flag=True, help="In seconds, unranked.")
@STRICT
@click.option(
    "--private", type=click.Path(path_type=Path), help="An organiser's own test data (safetensors)."
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the result."
)
def run(
    file: Path,
    event_name: str | None,
    quick: bool,
    strict: bool,
    private: Path | None,
    json_file: Path | None,
) -> int:
    """Measure the entry in FILE, without keeping the result; exit code 1 where it is invalid."""
    from tinytorch.benchmarking.entry import read_entry
    from tinytorch.benchmarking.events import event
    from tinytorch.benchmarking.measure import measure
    from tinytorch.benchmarking.result import encoded
    from tinytorch.benchmarking.samples import read_private
    from tinytorch.benchmarking.text import result_text
    from tinytorch.training import write_whole

    entry = read_entry(file, event_name)
    own = read_private(event(entry.description.event), private) if private else None
    result, _ = measure(entry, quick=quick, strict=strict, private=own)
    console.say(result_text(result))
    if json_file is not None:
        write_whole(json_file, encoded(result))
        console.notice(f"wrote {json_file}")
    return 0 if result.valid else 1


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--event", "event_name", metavar="EVENT", help="The event, for a program without a .toml file.")
@STORE
@STRICT
def submit(file: Path, event_name: str | None, store: str | None, strict: bool) -> int:
    """Measure the entry in FILE, keep the result, and rank it; exit code 1 where it is invalid.

    An estimate is shown first, and what is measured counts as an attempt, whatever comes out.
    """
    from tinytorch.benchmarking.competition import Competition

    found = Competition(_board(store), strict=strict).submit_entry(
        file, event_name, on_estimate=_say_estimate
    )
    console.say(repr(found))
    return 0 if found.result.valid else 1


def _say_estimate(ratios: Ratios) -> None:
    from tinytorch.profiling.words import times

    console.notice(f"estimate, of one process: {times(ratios.overall.estimate())} overall; measuring on")


@command.command()
@click.argument("event_name", metavar="[EVENT]", required=False)
@click.option("--by", type=BOARDS, default="overall", show_default=True)
@click.option("--division", type=DIVISIONS, help="By default both.")
@click.option("--machine", metavar="FINGERPRINT", help="By default the one with most results.")
@STORE
def leaderboard(
    event_name: str | None, by: str, division: str | None, machine: str | None, store: str | None
) -> None:
    """Show the boards of EVENT, or of all events."""
    from tinytorch.benchmarking.competition import Competition
    from tinytorch.benchmarking.events import EVENTS, event

    shown = Competition(_board(store))
    names = [event(event_name).name] if event_name else list(EVENTS)
    for name in names:
        for one in [division] if division else ["open", "closed"]:
            console.say(shown.display_leaderboard(name, cast("Any", one), cast("Any", by), machine))
            console.say("")


@command.command()
@click.argument("team")
@STORE
def history(team: str, store: str | None) -> None:
    """Show all results of TEAM, invalid ones too."""
    from tinytorch.profiling.words import times

    rows = [
        [
            row.number,
            row.written[:16].replace("T", " "),
            row.event,
            row.division,
            times(row.summary.ratios["overall"].estimate()) if row.summary.ratios else "-",
            "valid" if row.summary.valid else f"invalid: {'; '.join(row.summary.reasons)}"[:80],
        ]
        for row in _board(store).history(team)
    ]
    console.table(f"Results of {team}", ["record", "when", "event", "division", "overall", ""], rows)


@command.command()
@click.argument("number", metavar="[ID]", type=int, required=False)
@click.option("--key", metavar="HEX", help="The organiser's public key; by default that of this store.")
@STORE
def verify(number: int | None, key: str | None, store: str | None) -> int:
    """Check hashes, signatures and the order of all records, and measure record ID again."""
    from tinytorch.benchmarking.again import measured_again
    from tinytorch.benchmarking.store.keys import Verifier
    from tinytorch.benchmarking.store.verify import verify as problems_of

    board = _board(store)
    found = problems_of(board, Verifier(key) if key else None)
    for problem in found:
        console.say(str(problem))
    if not found:
        console.say(f"{len(board)} records are whole, signed with {board.key.public.text}")
    if number is None:
        return 1 if found else 0
    again = measured_again(board.result(number), board)
    console.say(repr(again))
    return 1 if found or not again.holds else 0


@command.command()
@STORE
@STRICT
@click.option("--once", is_flag=True, help="Stop where nothing waits.")
def work(store: str | None, strict: bool, once: bool) -> None:
    """Measure what was uploaded and waits, one entry at a time."""
    import signal
    import threading

    from tinytorch.benchmarking.competition import Competition
    from tinytorch.benchmarking.web.serve import work as measure_all

    until = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: until.set())
    count = measure_all(Competition(_board(store), strict=strict), until, once)
    console.say(f"{count} measured")


@command.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@STORE
def export(folder: Path, store: str | None) -> None:
    """Write the boards as static pages into DIR."""
    from tinytorch.benchmarking.web.export import export as write

    count = write(_board(store), folder)
    console.say(f"wrote {count} pages; begin at {folder / 'index.html'}")


@command.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True)
@STORE
@STRICT
def serve(host: str, port: int, store: str | None, strict: bool) -> None:
    """Serve the boards as web pages, and measure what is uploaded, one entry at a time."""
    from tinytorch.benchmarking.web.serve import serve as run_server

    run_server(store, host, port, strict)
