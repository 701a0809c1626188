"""A GPT learns as PyTorch's does: the same weights and batches, a thousand steps of AdamW."""

from benchmarks import convergence


def test_the_first_thousand_steps_stay_within_one_percent() -> None:
    curves = convergence.run(steps=1000, batch=4)
    assert curves.ours[0] > 5.4
    assert curves.ours[-50:].mean() < 2.5, "it learned next to nothing"
    assert curves.worst() <= 0.01
    assert curves.held_out_difference() <= 0.01
