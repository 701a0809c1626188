"""From a file to a rank: measured in boxes, kept, compared, shown, and measured again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinytorch.benchmarking import again as agains
from tinytorch.benchmarking import boxes as boxed
from tinytorch.benchmarking.again import measured_again
from tinytorch.benchmarking.compare import Contender, compare
from tinytorch.benchmarking.competition import BASELINE, Competition, TinyMLPerf
from tinytorch.benchmarking.entry import Entry, described
from tinytorch.benchmarking.events import EVENTS, baseline, baseline_model, event
from tinytorch.benchmarking.measure import measure
from tinytorch.benchmarking.outcomes import unpacked
from tinytorch.benchmarking.result import NOT_ISOLATED, QUICK, TRAINING, UNVERIFIED, decoded, encoded
from tinytorch.benchmarking.result import Result as Kept
from tinytorch.benchmarking.samples import plain
from tinytorch.benchmarking.store.leaderboard import Leaderboard
from tinytorch.benchmarking.store.queue import Queue
from tinytorch.benchmarking.store.verify import verify
from tinytorch.errors import BenchmarkError
from tinytorch.nn.module import Module
from tinytorch.sandbox import sandbox


def logits64(model: Module, images: np.ndarray) -> np.ndarray:
    """The MLP in float64 NumPy."""
    x = images.reshape(len(images), -1).astype(np.float64)
    weights = [p.data.astype(np.float64) for p in model.parameters()]
    for number, (w, b) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        x = x @ w.T + b
        x = np.maximum(x, 0) if number < 2 else x
    return x


def test_an_empty_board_is_the_one_that_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYMLPERF_HOME", str(tmp_path / "of the user"))
    board = Leaderboard(tmp_path / "store.db", tmp_path)
    assert len(board) == 0
    assert Competition(board).board is board
    assert not (tmp_path / "of the user").exists()


def test_an_entry_is_kept_ranked_and_whole(competition: Competition) -> None:
    board = competition.board
    assert verify(board) == []
    view = board.board("mlp_sprint", "closed")
    assert {place.row.team for place in view.places} == {BASELINE, "quantizers"}
    ours = next(place for place in view.places if place.row.team == "quantizers")
    result = board.result(ours.row.number)
    assert result.valid
    assert result.published
    assert result.ratios is not None
    assert result.ratios.size.value > 2.5
    assert result.ratios.memory.value > 2.5
    assert [one.name for one in result.techniques] == ["integer arithmetic"]
    assert UNVERIFIED in result.labels
    assert TRAINING not in result.labels
    assert result.recipe.startswith('event = "mlp_sprint"')
    assert (
        result.isolation == {}
        or NOT_ISOLATED in result.labels
        or set(result.isolation) <= {"fewer capabilities"}
    )
    assert decoded(encoded(result), Kept) == result
    assert board.comparison(result.entry, view.places[1].row.entry, view.fingerprint)


def test_the_quality_is_that_of_the_model_in_float64(competition: Competition) -> None:
    row = next(p.row for p in competition.board.board("mlp_sprint", "open").places)
    result = competition.board.result(row.number)
    known = plain(event("mlp_sprint"), 1000)
    right = logits64(baseline_model(event("mlp_sprint")), known.inputs).argmax(1) == known.labels
    assert result.figures is not None
    assert result.figures.quality == pytest.approx(right.mean(), abs=0.002)
    assert np.mean(unpacked(result.outcomes) == right) > 0.998
    assert result.ratios is not None
    assert result.ratios.size.log == 0.0
    assert result.ratios.accuracy.log == 0.0


def test_a_board_is_shown(competition: Competition) -> None:
    text = competition.display_leaderboard("mlp_sprint", "closed")
    assert "quantizers" in text
    assert "integer arithmetic" in text
    assert "no entries yet" in competition.display_leaderboard("cnn_marathon")
    with pytest.raises(BenchmarkError, match="no event"):
        competition.display_leaderboard("chess")


def test_a_stored_result_is_measured_again(competition: Competition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agains, "SAME_SCORE", 1.0)  # these measurements are short
    number = next(
        p.row.number for p in competition.board.board("mlp_sprint", "closed").places if p.row.team != BASELINE
    )
    result = competition.board.result(number)
    found = measured_again(result, competition.board)
    assert found.holds, found.differences
    assert found.after.seed == result.seed
    assert found.after.outcomes == result.outcomes


def test_uploads_are_measured_one_after_the_other(competition: Competition) -> None:
    queue = Queue(competition.board)
    text = 'event = "mlp_sprint"\nteam = "copiers"\nprogram = "a.ttc"\n'
    good = queue.put(
        Entry(described({"event": "mlp_sprint", "team": "copiers"}), baseline("mlp_sprint"), text)
    )
    bad = queue.put(Entry(described({"event": "mlp_sprint", "team": "copiers"}), b"no program", text))
    done = [competition.work(queue), competition.work(queue)]
    assert [job.state for job in done if job] == ["done", "done"]
    assert competition.work(queue) is None
    assert queue.job(good.ticket).record is not None
    assert "safetensors" in queue.job(bad.ticket).reason
    assert verify(competition.board) == []
    rows = competition.board.history("copiers")
    assert [row.summary.valid for row in rows] == [True, False]


def test_nobody_takes_the_name_of_the_baselines(competition: Competition) -> None:
    with pytest.raises(BenchmarkError, match="baselines' own"):
        competition.submit_entry(baseline_model(event("mlp_sprint")), "mlp_sprint", team=BASELINE)
    with pytest.raises(BenchmarkError, match="does not say its event"):
        competition.submit_entry(baseline_model(event("mlp_sprint")))


@pytest.mark.parametrize("name", ["cnn_marathon", "transformer_decathlon"])
def test_the_other_events_are_measured_too(short: None, name: str) -> None:
    entry = Entry(described({"event": name, "team": "a"}), baseline(name))
    result, program = measure(entry)
    assert result.valid, result.reasons
    assert program == baseline(name)
    assert result.figures is not None
    assert result.reasons == ()
    parts = {one.part for one in result.samples}
    assert {*EVENTS[name].parts, "offline", "control offline"} <= parts
    with pytest.raises(BenchmarkError, match="no valid one"):
        compare(Contender(result, program), Contender(_of("mlp_sprint", result), program))


def _of(name: str, result: Kept) -> Kept:
    import msgspec

    return msgspec.structs.replace(result, event=name)


def test_a_quick_result_is_not_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry(described({"event": "mlp_sprint", "team": "a"}), baseline("mlp_sprint"))
    monkeypatch.setattr(boxed, "NEEDED", ("a protection of the moon",))
    result, _ = measure(entry, quick=True)
    assert result.valid
    assert not result.published
    assert QUICK in result.labels


def test_a_machine_that_cannot_isolate_says_so_or_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    run = sandbox.run

    def bare(*given: object, **options: object) -> sandbox.Outcome:
        found = run(*given, **options)  # type: ignore[arg-type]
        found.missing["seccomp"] = "not in this kernel"
        return found

    monkeypatch.setattr(boxed.sandbox, "run", bare)
    entry = Entry(described({"event": "mlp_sprint", "team": "a"}), b"no program")
    result, _ = measure(entry, quick=True)
    assert NOT_ISOLATED in result.labels
    with pytest.raises(BenchmarkError, match=r"seccomp \(not in this kernel\)"):
        measure(entry, quick=True, strict=True)


def test_a_benchmark_is_loaded_with_its_model_and_data() -> None:
    found = TinyMLPerf().load_benchmark("mlp_sprint")
    images, labels = next(iter(found.train))
    assert images.shape[1:] == (1, 28, 28)
    assert labels.shape == images.shape[:1]
    assert found.model(images).shape == (len(images.data), 10)
    assert len(found.validation) > 0
