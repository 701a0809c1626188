"""Rows of the profile stage: repeated blocks are put together, numbered layers are not."""

import math

from tinytorch.journey.profile import Row, together


def test_blocks_are_put_together_and_numbered_layers_are_not() -> None:
    names = [
        "blocks.0.attn",
        "blocks.1.attn",
        "blocks.0",
        "blocks.1",
        "blocks.0.mlp.fc1",
        "layers.0",
        "layers.2",
    ]
    rows = tuple(Row(name, 2.0**i, 1.0, 3.0, 2.0**i / 127) for i, name in enumerate(names))
    merged = {row.name: row for row in together(rows)}
    assert list(merged) == ["layers.2", "layers.0", "blocks.*.mlp.fc1", "blocks.*", "blocks.*.attn"]
    assert merged["blocks.*.attn"] == Row("blocks.*.attn", 3.0, 2.0, 6.0, 3 / 127)
    assert math.isclose(sum(row.share for row in merged.values()), 1)
