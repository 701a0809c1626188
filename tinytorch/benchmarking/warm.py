"""What boxes need compiled of the runner's own, the baseline and the coder of files: made in boxes, once."""

from __future__ import annotations

import contextlib
import hashlib

from safetensors import SafetensorError
from safetensors.numpy import load, save

from tinytorch.acceleration.artifact.save import as_bytes
from tinytorch.benchmarking import samples
from tinytorch.benchmarking.boxes import Boxes, runner_hash
from tinytorch.benchmarking.events import Event, baseline, baseline_graph
from tinytorch.benchmarking.machine import this_machine
from tinytorch.data.registry import data_folder
from tinytorch.errors import CheckpointError
from tinytorch.ops.spec import Array
from tinytorch.training.files import write_whole


def warm(box: Boxes, one: Event) -> None:
    """Give the boxes to come what was compiled of an event's baseline by this runner on this machine.

    It is kept in the user's data folder, apart from what the user's own programs keep, and comes from boxes
    that have seen no entry. Where nothing can be written it is made each time.
    """
    content = baseline(one.name)
    text = f"{runner_hash()} {this_machine().fingerprint} {hashlib.sha256(content).hexdigest()}"
    folder = data_folder() / "tinymlperf"
    path = folder / f"{one.name}-{hashlib.sha256(text.encode()).hexdigest()}.compiled"
    try:
        found = load(path.read_bytes())
    except (OSError, SafetensorError):
        found = _made(box, one, content)
        with contextlib.suppress(CheckpointError, OSError):
            for older in folder.glob(f"{one.name}-*.compiled"):
                older.unlink(missing_ok=True)
            write_whole(path, save(found))
    box.keep_compiled(found)


def _made(box: Boxes, one: Event, content: bytes) -> dict[str, Array]:
    """The programs of the baseline, one sample, batches and writing, and the coder that reads its file."""
    program = box.put("baseline", as_bytes(baseline_graph(one.name)))
    some = box.put("warm.safetensors", {"fresh": samples.fresh(one, one.batch, 0, 0).inputs})
    coded = box.put("baseline.ttc", content)
    tasks = (
        {"mode": "ready", "event": one.name, "program": program, "inputs": some},
        {"mode": "check", "event": one.name, "program": coded, "baseline": program},
    )
    sent = (arrays for _, arrays in box.side_by_side(*tasks))
    return {name: array for arrays in sent for name, array in arrays.items() if name.startswith("cache ")}
