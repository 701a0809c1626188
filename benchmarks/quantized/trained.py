"""The models that are quantized: an MLP and a CNN trained on fashion-full, kept in runs/, and what ships."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from tinytorch import console
from tinytorch.models.pretrained import load_pretrained, load_weights
from tinytorch.models.registry import Model
from tinytorch.quantization.samples import Splits, splits_for

FOLDER = Path("runs") / "quantized"
SET = "fashion-full"


@cache
def model(name: str) -> Model:
    """mlp and cnn as `tito train NAME --data fashion-full --compile` leaves them, gpt as it ships."""
    if name == "gpt":
        return load_pretrained(name)
    folder = FOLDER / f"{name}-{SET}"
    if not (folder / "weights.safetensors").exists():
        console.notice(f"train {name} on {SET}, once")
        words = [sys.executable, "-m", "tinytorch", "train", name, "--data", SET, "--compile"]
        subprocess.run([*words, "--threads", "1", "--out", str(folder)], check=True)
    return load_weights(folder / "weights.safetensors")


@cache
def splits(name: str) -> Splits:
    """Its data: calibration from train, validation, test."""
    return splits_for(model(name), "pydocs" if name == "gpt" else SET)
