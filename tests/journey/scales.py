"""A scale at which a journey takes seconds."""

from tinytorch.journey import Scale

TEXT = {"steps": 12, "config": {"context": 32, "width": 32, "layers": 2, "heads": 2}}
TINY = Scale(
    "tiny",
    recipe={"mlp": {"epochs": 2}, "cnn": {"epochs": 1}, "gpt": TEXT},
    train_images=320,
    test_images=200,
    text_seconds=None,
    curve_points=3,
    validation_windows=16,
    test_bytes=2048,
    new_bytes=60,
    latency_runs=80,
    observed_runs=4,
    race_rounds=6,
    compress_epochs=1,
    compress_sparse_text=False,
)
