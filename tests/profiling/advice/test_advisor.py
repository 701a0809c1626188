"""Insights: known shares give known sentences, and what an interval does not support is not said."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.profiling.profiles import gpt, one_run, plain_callable, timing
from tinytorch import no_grad
from tinytorch.models import GPT
from tinytorch.profiling.advice.advisor import fewest, in_python, insights, pareto_of_modules, parts
from tinytorch.profiling.context import profile_model
from tinytorch.profiling.profile import (
    Hotspot,
    Insight,
    MemoryUse,
    ModuleMemory,
    ModuleRow,
    OpRow,
    Profile,
    Roof,
)
from tinytorch.profiling.statistics import Estimate, drift, median

ROOF = Roof(100e9, {"L1": 200e9, "memory": 10e9}, 1, sizes={"L1": 2**15})
PASSES = 30


def profile_of(
    shares: Mapping[str, float],
    kinds: Mapping[str, str] | None = None,
    noise: float = 0.01,
    kernels: float = 0.95,
    bounds: Mapping[str, str] | None = None,
    seed: int = 0,
    batch: int = 8,
) -> Profile:
    """A profile of 1 ms passes in which each path has this share of self time, with a share of noise."""
    rng = np.random.default_rng(seed)
    passes = {p: 1e-3 * s * np.exp(noise * rng.standard_normal(PASSES)) for p, s in shares.items()}
    whole = np.sum(list(passes.values()), axis=0)

    def row(path: str) -> ModuleRow:
        below = f"{path}." if path else ""
        total = np.sum([t for p, t in passes.items() if p == path or p.startswith(below)], axis=0)
        seconds = median(passes[path])
        return ModuleRow(
            path,
            (kinds or {}).get(path, "Linear"),
            path.count("."),
            2.0,
            seconds,
            median(total),
            seconds.value * kernels,
            0.0,
            median(passes[path] / whole),
            2_000_000,
            2_000_000,
            100_000,
            0,
            None,
            0.25 if bounds else None,
            (bounds or {}).get(path),
        )

    return Profile(
        "model",
        "TinyTorch model",
        "forward",
        "",
        {"inputs": f"float32[{batch}, 4]"},
        {},
        timing(whole),
        Estimate(1.01, 1.0, 1.02),
        None,
        0,
        0,
        1.0,
        (),
        tuple(row(path) for path in shares),
        (),
        roof=ROOF if bounds else None,
        passes={path: tuple(map(float, times)) for path, times in passes.items()},
    )


def transformer(attention: float, blocks: int = 3, noise: float = 0.01) -> Profile:
    """A transformer whose attention, projections included, has this share; the head has 10 % of the rest."""
    rest = 1 - attention
    shares: dict[str, float] = {"": 0.05 * rest, "blocks": 0.0001}
    kinds = {"": "GPT", "blocks": "ModuleList", "head": "Linear"}
    for i in range(blocks):
        block = f"blocks.{i}"
        shares |= {
            block: 0.05 * rest / blocks,
            f"{block}.attn": 0.4 * attention / blocks,
            f"{block}.attn.q_proj": 0.3 * attention / blocks,
            f"{block}.attn.out_proj": 0.3 * attention / blocks,
            f"{block}.mlp": 0.1 * rest / blocks,
            f"{block}.mlp.fc1": 0.7 * rest / blocks,
        }
        kinds |= {
            block: "TransformerBlock",
            f"{block}.attn": "MultiHeadAttention",
            f"{block}.mlp": "FeedForward",
        }
    shares["head"] = 0.1 * rest
    return profile_of(shares, kinds, noise)


def of_kind(profile: Profile, kind: str) -> list[Insight]:
    return [insight for insight in insights(profile) if insight.kind == kind]


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+|\d+", text.replace(",", ""))]


# ---------------------------------------------------------------- Amdahl, by parts of a model


def test_attention_of_all_blocks_is_one_part() -> None:
    found = {part.name: part.share.value for part in parts(transformer(0.73))}
    rest = 0.27
    assert found["blocks.*.attn"] == pytest.approx(0.73, abs=0.01)
    assert found["blocks.*.mlp"] == pytest.approx(0.8 * rest, abs=0.01)
    assert found["blocks.*"] == pytest.approx(0.05 * rest, abs=0.01)
    assert found["head"] == pytest.approx(0.1 * rest, abs=0.01)
    assert sum(found.values()) == pytest.approx(1, abs=1e-3)


def test_amdahls_sentence_has_the_figures_that_follow_from_the_share() -> None:
    first = of_kind(transformer(0.73), "amdahl")[0]
    assert first.text.startswith("attention (blocks.*.attn, 3 modules) takes 73.")
    share, most, twice = (
        float(found) for found in re.findall(r"(?:takes |exceed |gives )(\d+\.\d+)", first.text)
    )
    assert share == pytest.approx(73, abs=1)
    assert most == pytest.approx(1 / (1 - share / 100), rel=0.01)
    assert twice == pytest.approx(1 / (1 - share / 200), rel=0.01)
    assert first.gain == pytest.approx(most, rel=0.01)
    low, high = numbers(re.findall(r"% \[(.*?)\]", first.text)[0])
    assert low < 73 < high
    assert high - low < 2


def test_a_share_whose_interval_is_wide_is_not_worth_a_sentence() -> None:
    assert "blocks.*.mlp" in " ".join(i.text for i in of_kind(transformer(0.73), "amdahl"))
    few = replace(
        transformer(0.73), passes={path: times[:4] for path, times in transformer(0.73).passes.items()}
    )
    assert of_kind(few, "amdahl") == []
    noisy = profile_of({"": 0.01, "a": 0.13, "b": 0.86}, noise=1.2)
    share = next(part for part in parts(noisy) if part.name == "a").share
    assert share.low is not None
    assert share.low < 0.1
    assert not any(insight.text.startswith("a ") for insight in of_kind(noisy, "amdahl"))
    quiet = profile_of({"": 0.01, "a": 0.13, "b": 0.86}, noise=0.01)
    assert any(insight.text.startswith("a ") for insight in of_kind(quiet, "amdahl"))


def test_a_module_that_takes_nearly_all_comes_apart() -> None:
    found = parts(profile_of({"": 0.008, "net": 0.012, "net.0": 0.5, "net.1": 0.48}))
    assert [part.name for part in found] == ["net.0", "net.1", "net", ""]
    whole = parts(profile_of({"": 0.3, "net": 0.01, "net.0": 0.5, "net.1": 0.19}))
    assert [part.name for part in whole] == ["net", ""]


def test_passes_that_do_not_belong_together_give_no_shares() -> None:
    profile = transformer(0.5)
    assert parts(replace(profile, passes={})) == []
    assert parts(replace(profile, passes={**profile.passes, "head": (1.0,)})) == []
    assert parts(replace(profile, passes={**profile.passes, "ghost": profile.passes["head"]})) == []
    assert parts(replace(profile, passes=dict.fromkeys(profile.passes, (0.0,) * 9))) == []


def test_an_op_has_its_sentence() -> None:
    def op(name: str, low: float, value: float) -> OpRow:
        return OpRow(
            name, 24.0, Estimate(1e-3, None, None), Estimate(value, low, 2 * value - low), 0.0, 0, 0, 0
        )

    profile = replace(transformer(0.3), ops=(op("linear", 0.58, 0.6), op("softmax", 0.3, 0.4)))
    found = [i.text for i in of_kind(profile, "amdahl") if "op " in i.text]
    assert len(found) == 1
    assert found[0].startswith("The op linear (24 calls) takes 60.0 % [58.0, 62.0] of the time")
    unsure = replace(profile, ops=(op("linear", 0.02, 0.6), op("softmax", 0.01, 0.4)))
    assert not [i for i in of_kind(unsure, "amdahl") if "op " in i.text]
    assert not [i for i in of_kind(replace(profile, ops=profile.ops[:1]), "amdahl") if "op " in i.text]


# ---------------------------------------------------------------- the 80/20 line


def test_the_fewest_that_make_most_of_it() -> None:
    assert fewest([0.1, 0.7, 0.1, 0.1]) == 2
    assert fewest([0.8, 0.2]) == 1
    assert fewest([0.3, 0.3]) == 2
    assert fewest([]) == 0


def test_the_80_20_line_names_what_could_return_the_most_first() -> None:
    shares = {"": 0.01, "a": 0.45, "b": 0.4, "c": 0.05, "d": 0.05, "e": 0.04}
    line = pareto_of_modules(profile_of(shares))
    assert line is not None
    assert "in 2 of 6 kinds of module: a 45." in line.text
    assert line.gain == pytest.approx(1 / 0.55, rel=0.02)
    profile = profile_of(shares, bounds={"a": "compute"})
    rows = tuple(replace(row, roof=0.9 if row.path == "a" else 0.1) for row in profile.modules)
    line = pareto_of_modules(replace(profile, modules=rows))
    assert line is not None
    assert line.text.index("b 40.") < line.text.index("a 45.")
    assert line.gain == pytest.approx(1 / (1 - 0.4 * 0.9), rel=0.02)
    assert "if it ran at its roof" in line.text


def test_no_80_20_line_where_the_time_is_spread_or_was_measured_once() -> None:
    assert pareto_of_modules(profile_of(dict.fromkeys("abcdefghij", 0.1))) is None
    assert pareto_of_modules(one_run()) is None
    assert insights(one_run()) == ()


# ---------------------------------------------------------------- what bounds it


def test_python_between_kernels() -> None:
    shares = {"": 0.2, "a": 0.5, "b": 0.3}
    share = in_python(profile_of(shares, kernels=0.6))
    assert share is not None
    assert share.low is not None
    assert share.high is not None
    assert share.low < 0.4 < share.high
    assert share.value == pytest.approx(0.4, abs=0.01)
    found = of_kind(profile_of(shares, kernels=0.6, batch=1), "overhead")[0]
    assert "no faster kernel can give more than 2.5" in found.text
    assert "The batch is 1" in found.text
    assert found.gain == pytest.approx(1 / 0.6, rel=0.01)
    assert float(re.findall(r"time, ([\d.]+)", found.text)[0]) == pytest.approx(400 / 6, rel=0.01)
    assert "batch is 1" not in of_kind(profile_of(shares, kernels=0.6, batch=16), "overhead")[0].text
    assert of_kind(profile_of(shares, kernels=0.85), "overhead") == []
    assert of_kind(profile_of(shares, kernels=0.7, noise=0.6), "overhead") == []
    assert in_python(replace(profile_of(shares), passes={})) is None
    assert in_python(profile_of(shares, kernels=1.2)) is None


@pytest.mark.parametrize(
    ("bound", "said"), [("compute", "of the peak"), ("memory", "main memory gives 10.0 GB/s")]
)
def test_what_bounds_most_of_the_time(bound: str, said: str) -> None:
    shares = {"": 0.01, "a": 0.7, "b": 0.29}
    other = "memory" if bound == "compute" else "compute"
    found = of_kind(profile_of(shares, bounds={"": "overhead", "a": bound, "b": other}), bound)[0]
    assert re.match(rf"70\.\d % \[.*\] of the time is {bound}-bound", found.text)
    assert said in found.text
    assert found.gain == pytest.approx(1 / (1 - 0.7 * 0.75), rel=0.02)
    assert of_kind(profile_of(shares, bounds={"a": other, "b": bound}), bound) == []
    assert of_kind(profile_of(shares), bound) == []
    beyond = profile_of(shares, bounds={"a": bound})
    rows = tuple(replace(row, roof=1.2) for row in beyond.modules)
    assert of_kind(replace(beyond, modules=rows), bound) == []


# ---------------------------------------------------------------- plain callables


def spots(*parts: tuple[str, float, float, int]) -> tuple[Hotspot, ...]:
    return tuple(
        Hotspot(
            name,
            "/me/work.py",
            10,
            calls,
            1e-3 * share,
            1e-3 * share,
            share,
            Estimate(share, low, 2 * share - low),
        )
        for name, share, low, calls in parts
    )


def test_functions_of_a_plain_callable() -> None:
    found = spots(
        ("parse", 0.6, 0.55, 1),
        ("split", 0.25, 0.2, 5000),
        ("join", 0.1, 0.05, 1),
        ("x", 0.03, 0.0, 1),
        ("y", 0.02, 0.0, 1),
    )
    profile = replace(plain_callable(), hotspots=found)
    texts = [insight.text for insight in of_kind(profile, "amdahl")]
    assert [text.split()[0] for text in texts] == ["parse", "split"]
    assert "parse (/me/work.py:10) itself takes 60.0 % [55.0, 65.0]" in texts[0]
    assert "exceed 2.50x" in texts[0]
    assert "in 2 of 5 functions: parse (line 10) 60.0 %, split" in of_kind(profile, "pareto")[0].text
    calls = of_kind(profile, "calls")
    assert len(calls) == 1
    assert "split (/me/work.py:10) is called 5,000 times for 0.0500" in calls[0].text


def test_functions_that_were_sampled_once_have_no_sentences() -> None:
    assert {i.kind for i in insights(plain_callable())}.isdisjoint({"amdahl", "pareto", "calls"})


def test_one_function_that_is_all_has_no_limit() -> None:
    found = of_kind(replace(plain_callable(), hotspots=spots(("all", 1.0, 1.0, 1))), "amdahl")[0]
    assert found.gain is None
    assert "exceed" not in found.text
    assert "2x there gives 2" in found.text


# ---------------------------------------------------------------- memory


def memory(
    allocated: int = 10 * 2**20, activations: int = 0, temporaries: int = 0, **more: object
) -> MemoryUse:
    use = MemoryUse(0, allocated, allocated, 0, None, None, "steady", 8)
    modules = (
        ModuleMemory("blocks.0.mlp", 0, 0, activations // 4, 0, 0),
        ModuleMemory("blocks.1.mlp", 0, 0, activations // 2, 0, 0),
    )
    modules += (ModuleMemory("head", 0, 0, activations // 4, temporaries // 2, 0),)
    return replace(use, activations=activations, temporaries=temporaries, modules=modules, **more)  # type: ignore[arg-type]


def test_memory_that_is_kept_for_backward() -> None:
    profile = replace(transformer(0.3), memory=memory(activations=8 * 2**20))
    found = of_kind(profile, "activations")[0].text
    assert found.startswith("Activations kept for backward are 8.0 MiB, 80.0 % of the 10.0 MiB")
    assert "blocks.*.mlp (6.0 MiB)" in found
    assert "under no_grad()" in found
    assert "no_grad" not in of_kind(replace(profile, mode="backward"), "activations")[0].text
    assert of_kind(replace(profile, memory=memory(activations=4 * 2**20)), "activations") == []
    assert of_kind(replace(profile, memory=memory(allocated=1000, activations=900)), "activations") == []
    bare = replace(memory(activations=8 * 2**20), modules=())
    assert of_kind(replace(profile, memory=bare), "activations")[0].text.endswith("not be kept.")


def test_temporaries() -> None:
    profile = replace(transformer(0.3), memory=memory(temporaries=8 * 2**20))
    assert "an op of head needs the most, 4.0 MiB" in of_kind(profile, "temporaries")[0].text
    assert of_kind(replace(profile, memory=memory(temporaries=2**20)), "temporaries") == []
    bare = replace(memory(temporaries=8 * 2**20), modules=())
    assert of_kind(replace(profile, memory=bare), "temporaries") == []


def test_a_leak_needs_a_slope_above_nothing() -> None:
    growing = memory(pattern="growing", slope=Estimate(12_288.0, 10_240.0, None))
    found = of_kind(replace(transformer(0.3), memory=growing), "leak")[0].text
    assert "each call leaves 12.0 KiB [10.0 KiB, -] more" in found
    for other in (
        memory(pattern="growing", slope=Estimate(12_288.0, -10.0, 20_000.0)),
        memory(pattern="steady", slope=Estimate(12_288.0, 10_240.0, 20_000.0)),
        memory(pattern="growing"),
    ):
        assert of_kind(replace(transformer(0.3), memory=other), "leak") == []


# ---------------------------------------------------------------- the reading


def timed(samples: Sequence[float], cpu: float = 1.0) -> Profile:
    found = timing(np.array(samples))
    return replace(plain_callable(), hotspots=(), timing=replace(found, cpu=cpu * found.mean.value))


def test_drift_outliers_and_waiting() -> None:
    rng = np.random.default_rng(1)
    steady = 1e-3 * np.exp(0.01 * rng.standard_normal(60))
    assert insights(timed(steady)) == ()
    slower = of_kind(timed(steady * np.linspace(1, 1.2, 60)), "drift")[0].text
    assert "slower by 18." in slower
    assert "others came" in slower
    faster = of_kind(timed(steady * np.linspace(1.2, 1, 60)), "drift")[0].text
    assert "faster by 18." in faster
    assert "3 passes to warm up" in faster
    noisy = 1e-3 * np.exp(0.3 * np.random.default_rng(4).standard_normal(12))
    assert abs(drift(noisy).value) > 0.05
    assert of_kind(timed(noisy), "drift") == []
    odd = steady.copy()
    odd[10:14] *= 5
    assert "4 of 60 passes are severe outliers, the slowest 5." in of_kind(timed(odd), "outliers")[0].text
    tail = np.where(np.arange(200) % 8 == 0, 2.0, 1.0) * 1e-3 * np.exp(0.3 * rng.standard_normal(200))
    assert "One pass in 20 takes" in of_kind(timed(tail), "outliers")[0].text
    waits = of_kind(timed(steady, cpu=0.3), "waiting")[0].text
    assert "only 300" in waits or "only 301" in waits or "only 299" in waits
    assert of_kind(timed(steady, cpu=2.0), "waiting") == []


def test_watching_that_costs_much_is_said() -> None:
    profile = replace(transformer(0.3), overhead=Estimate(1.2, 1.15, 1.25))
    assert "1.20x [1.15, 1.25]" in of_kind(profile, "watching")[0].text
    assert of_kind(replace(profile, overhead=Estimate(1.2, 1.05, 1.35)), "watching") == []
    assert of_kind(replace(profile, overhead=None), "watching") == []


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("profile", [gpt(), gpt(backward=True), transformer(0.5), plain_callable()])
def test_each_sentence_has_figures_and_gains_fall(profile: Profile) -> None:
    found = insights(profile)
    for insight in found:
        assert re.search(r"\d", insight.text)
        assert insight.text.endswith(".")
        assert "nan" not in insight.text
    gains = [insight.gain for insight in found if insight.kind != "pareto"]
    known = [gain for gain in gains if gain is not None]
    assert known == sorted(known, reverse=True)
    assert gains[: len(known)] == known


def test_of_a_model_that_ran() -> None:
    model = GPT(vocab_size=64, context=32, width=32, layers=3, heads=2).eval()
    with no_grad():
        profile = profile_model(model, runs=30, roof=False, memory=False)
    names = {part.name for part in parts(profile)}
    assert {"blocks.*.attn", "blocks.*.mlp", "blocks.*.norm1", "head"} <= names
    one_pass = replace(profile, passes={path: times[:1] for path, times in profile.passes.items()})
    assert sum(part.share.value for part in parts(one_pass)) == pytest.approx(1), "medians need not add up"
    assert profile.insights == insights(profile)
