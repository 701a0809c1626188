"""What changed between two profiles: found where it is, claimed where it is not at most as often as said."""

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import trim_mean

from tests.profiling.profiles import HOSTILE, gpt, one_run, plain_callable, slower
from tinytorch.errors import ProfilingError
from tinytorch.profiling.profile import Profile
from tinytorch.profiling.report.diff import WHOLE, Diff, DiffRow
from tinytorch.profiling.statistics import Estimate


def row(found: Diff, path: str) -> DiffRow:
    return next(row for row in found.rows if row.path == path)


def renamed(profile: Profile, old: str, new: str) -> Profile:
    """The profile with one module under another name."""
    passes = {new if path == old else path: times for path, times in profile.passes.items()}
    modules = tuple(replace(r, path=new) if r.path == old else r for r in profile.modules)
    return replace(profile, modules=modules, passes=passes)


def test_a_slower_module_is_found_and_no_other() -> None:
    found = gpt().diff(slower(gpt(seed=3), "blocks.1.mlp.0", 1.3))
    assert [row.path for row in found.rows if row.significant] == ["blocks.1.mlp.0"]
    slow = row(found, "blocks.1.mlp.0")
    assert slow.verdict == "slower"
    assert slow.ratio is not None
    assert slow.ratio.low is not None
    assert slow.ratio.low < 1.3 < (slow.ratio.high or 0)
    assert slow.before == pytest.approx(345e-6, rel=0.05)
    assert slow.after == pytest.approx(1.3 * 345e-6, rel=0.05)


def test_the_ratio_is_that_of_trimmed_means_of_logarithms() -> None:
    before, after = gpt(seed=1), slower(gpt(seed=2), "head", 1.1)
    found = row(before.diff(after), "head").ratio
    logs = [trim_mean(np.log(profile.passes["head"]), 0.2) for profile in (after, before)]
    assert found is not None
    assert found.value == pytest.approx(np.exp(logs[0] - logs[1]))


def test_the_other_way_round_it_is_faster() -> None:
    before, after = slower(gpt(seed=3), "head", 1.4), gpt()
    found = row(before.diff(after), "head")
    back = row(after.diff(before), "head")
    assert (found.verdict, back.verdict) == ("faster", "slower")
    assert found.ratio is not None
    assert back.ratio is not None
    assert found.ratio.value * back.ratio.value == pytest.approx(1.0)


def test_two_profiles_of_the_same_rarely_differ() -> None:
    profiles = [gpt(seed=seed, blocks=2) for seed in range(80)]
    claims = [
        any(row.significant for row in a.diff(b).rows)
        for a, b in zip(profiles[:40], profiles[40:], strict=True)
    ]
    assert sum(claims) <= 6  # 5 % of 40 would be 2; P(more than 6) is below 0.5 %


def test_the_whole_pass_is_tested_by_itself() -> None:
    found = gpt().diff(slower(gpt(seed=3), "head", 4.0))
    assert found.whole.verdict == "slower"
    assert found.total is not None
    assert found.total.value == pytest.approx(1 + 3 * 410 / 8680, rel=0.02)
    assert repr(found).splitlines()[0].startswith("small GPT (2026-02-03 04:05:06) -> small GPT")
    assert "Slower: a pass takes 1.1" in " ".join(repr(found).split())


def test_over_asks_that_the_whole_interval_is_above_the_limit() -> None:
    found = gpt().diff(slower(gpt(seed=3), "head", 1.5))
    slow = row(found, "head")
    assert slow.ratio is not None
    assert slow.ratio.low is not None
    just_below, just_above = slow.ratio.low - 1 - 1e-6, slow.ratio.low - 1 + 1e-6
    assert "head" in [row.path for row in found.over(just_below)]
    assert "head" not in [row.path for row in found.over(just_above)]
    assert [row.path for row in gpt().diff(slower(gpt(), "head", 5.0)).over(0.05)] == [WHOLE, "head"]
    assert gpt().diff(gpt()).over(0.0) == []


def test_small_modules_never_fail_a_gate_unless_asked() -> None:
    found = gpt().diff(slower(gpt(seed=3), "position", 3.0))
    assert found.over(0.05) == []
    assert [row.path for row in found.over(0.05, least=0.0)] == ["position"]


@pytest.mark.parametrize(("limit", "least"), [(-0.1, 0.0), (0.1, -0.1), (float("nan"), 0.0)])
def test_a_limit_below_zero_is_refused(limit: float, least: float) -> None:
    with pytest.raises(ProfilingError, match="expected shares of 0 or more"):
        gpt().diff(gpt()).over(limit, least)


def test_modules_in_one_only_are_named() -> None:
    found = gpt().diff(renamed(gpt(), "head", "output"))
    assert row(found, "head").verdict == "only before"
    assert row(found, "output").verdict == "only after"
    assert row(found, "output").before is None
    assert row(found, "output").ratio is None
    assert re.search(r"output +- +411 \S+ +only after", repr(found))


def test_different_models_are_refused_with_both_names() -> None:
    other = replace(
        gpt(),
        name="LeNet",
        modules=tuple(replace(r, kind="LeNet" if not r.path else r.kind) for r in gpt().modules),
    )
    with pytest.raises(ProfilingError, match=r"small GPT .* and LeNet .* different models \(GPT with 51"):
        gpt().diff(other)
    strange = replace(
        gpt(), modules=tuple(replace(r, path=f"x{r.path}" if r.path else "") for r in gpt().modules)
    )
    with pytest.raises(ProfilingError, match="different models"):
        gpt().diff(strange)
    with pytest.raises(ProfilingError, match="different models"):
        plain_callable().diff(replace(plain_callable(), name="other"))
    with pytest.raises(ProfilingError, match="a forward and a backward profile"):
        gpt().diff(gpt(backward=True))
    with pytest.raises(ProfilingError, match="forward and a callable"):
        gpt().diff(plain_callable())


def test_a_model_of_another_depth_is_still_the_same_model() -> None:
    found = gpt(4).diff(gpt(6))
    assert sum(row.verdict == "only after" for row in found.rows) == 2 * 9
    assert found.whole.verdict == "slower"


def test_what_else_differs_is_a_warning_and_drift_always_is() -> None:
    after = replace(
        gpt(),
        configuration={**gpt().configuration, "inputs": "int64[1, 256]", "threads": "2"},
        environment={**gpt().environment, "processor": "Another", "load": "3.1"},
        kind="PyTorch model",
    )
    said = gpt().diff(after).warnings
    assert said[:3] == (
        "inputs: int64[1, 128] before, int64[1, 256] after",
        "threads: 1 before, 2 after",
        "processor: An <imaginary> CPU @ 3 GHz before, Another after",
    )
    assert "kind: TinyTorch model before, PyTorch model after" in said
    assert not any(warning.startswith("load") for warning in said)
    assert len(gpt().diff(gpt()).warnings) == 1
    assert "cannot be told from a difference" in gpt().diff(gpt()).warnings[0]


def test_work_that_changed_is_shown() -> None:
    more = replace(
        gpt(), modules=tuple(replace(r, flops=2 * r.flops if r.flops else r.flops) for r in gpt().modules)
    )
    assert "6.29 MFLOP -> 12.6 MFLOP" in repr(gpt().diff(more))


def test_a_single_run_is_not_tested() -> None:
    found = gpt().diff(one_run())
    assert {row.verdict for row in found.rows} == {"not tested"}
    assert found.total is None
    assert "not timed often enough" in " ".join(repr(found).split())
    zeros = replace(gpt(), passes=dict.fromkeys(gpt().passes, (0.0,) * 20))
    assert {row.verdict for row in gpt().diff(zeros).rows} == {"not tested"}
    assert gpt().diff(replace(gpt(), timing=None)).whole.after is None


def test_plain_callables_are_compared_as_a_whole() -> None:
    slow = replace(plain_callable(), timing=slower(gpt(), "head", 1.0).timing)
    found = plain_callable().diff(slow)
    assert found.rows == ()
    assert found.over(0.05) == [found.whole]


def test_the_text_fits_and_folds_what_is_small_and_unchanged() -> None:
    text = repr(gpt(12).diff(slower(gpt(12, seed=5), "blocks.7.mlp.2", 1.5)))
    assert max(map(len, text.splitlines())) <= 100
    assert re.search(r"blocks\.7\.mlp\.2 .* slower", text)
    assert re.search(r"\d+ more below 0.5 % of a pass, none with a difference shown", text)
    assert HOSTILE in repr(gpt().diff(gpt()))


def test_an_interval_that_leaves_out_one_is_what_significant_means() -> None:
    for low, high, verdict in (
        (1.01, 1.2, "slower"),
        (0.8, 0.99, "faster"),
        (0.9, 1.1, "no difference shown"),
    ):
        made = DiffRow("a", 1.0, 1.0, Estimate(1.0, low, high), verdict, 0.5)
        assert made.significant == (low > 1 or high < 1)
