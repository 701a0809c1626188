"""quantize: a model like the first, smaller, and as fast or faster, with what it lost measured."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tinytorch import console
from tinytorch.acceleration.artifact.save import coded_bytes
from tinytorch.acceleration.loaded import LoadedProgram
from tinytorch.autograd import no_grad
from tinytorch.errors import QuantizationError, TinyTorchError
from tinytorch.nn.embedding import Embedding
from tinytorch.nn.module import Module
from tinytorch.quantization import fold, layers
from tinytorch.quantization.aware import Aware, trained
from tinytorch.quantization.calibrate import Batch, Seen, calibrate, filled, inputs_of, layers_of
from tinytorch.quantization.convert import Converter, Rounding
from tinytorch.quantization.model import QuantizedModel
from tinytorch.quantization.programs import ProgramModel
from tinytorch.quantization.ranges import Range
from tinytorch.quantization.report import LayerReport, Report, Sizes
from tinytorch.quantization.scheme import SCHEMES, Scheme, scheme_of
from tinytorch.quantization.score import Metric, Score, sqnr
from tinytorch.quantization.speed import Race, race, weight_bytes
from tinytorch.tensor import Tensor, from_numpy

Prefer = Literal["speed", "size"]


def quantize(
    model: Module | LoadedProgram,
    calibration: Iterable[Batch],
    scheme: str | Scheme = "int8",
    *,
    validation: Iterable[Batch] | None = None,
    metric: Metric | None = None,
    prefer: Prefer = "speed",
    max_loss: float = 0.003,
    rounding: Rounding | None = None,
    correct_bias: bool = False,
    scan: bool = True,
    seed: int = 0,
) -> QuantizedModel:
    """The model with its Linear, Conv2d and Embedding layers on codes; the model itself stays as it is.

    `calibration`: batches (inputs and a target, or inputs alone) to find ranges of activations in.
    `validation`, by default the same, says what is lost: see `Score`, or give a `metric` of the model, the
    higher the better. `max_loss` is the most that may be lost of it (0.003 is 0.3 points of accuracy): layers
    that cost most stay in float32, or with "mixed" in more bits. `prefer` "speed" times each layer, compiled,
    on this machine, and leaves in float32 those that codes make slower; "size" keeps all. `rounding` "gptq"
    rounds Linear weights so that errors make up for each other, the default where they have four bits;
    `correct_bias` takes off what layers are off by in the mean. Without `scan` what each layer costs alone is
    measured only if all together cost too much. Neither calibration nor validation should
    hold test data.

    Raises QuantizationError for a model that is quantized already or has no layer to quantize, for an unknown
    scheme, and for calibration data that is empty or not finite.

    `model` may be what `load_program` gave: its products, convolutions and lookups are its layers then. A
    model that `aware` made and that was trained becomes what it was trained to be: its codes are the
    nearest ones on the grids that it was trained with.

    >>> from tinytorch.models import MLP
    >>> q = quantize(MLP((16, 8, 4)), [Tensor(np.ones((2, 16), np.float32))], prefer="size")
    >>> [type(layer).__name__ for layer in q.layers], q(Tensor(np.ones((3, 16), np.float32))).shape
    (['QuantizedLinear', 'ReLU', 'QuantizedLinear'], (3, 4))
    """
    chosen = scheme_of(scheme)
    if prefer not in ("speed", "size"):
        raise QuantizationError(f"quantize: prefer={prefer!r}; expected 'speed' or 'size'")
    if not max_loss >= 0:
        raise QuantizationError(f"quantize: max_loss={max_loss}; expected 0 or more")
    few = chosen.bits == 4 or chosen.name == "mixed"
    rounding = rounding or ("gptq" if few else "nearest")
    batches = filled(calibration)
    model = ProgramModel(model) if isinstance(model, LoadedProgram) else model
    was_aware = any(isinstance(module, Aware) for module in model.modules())
    if was_aware:
        rounding = "nearest"
    model, ranges = trained(model)
    work = _Work(model, batches, list(validation) if validation is not None else batches, metric, seed)
    work.observe(gram=rounding == "gptq")
    work.keep(ranges)
    tables = frozenset(id(m.weight) for m in work.layers.values() if isinstance(m, Embedding))
    work.converter = Converter(rounding, correct_bias, tables, as_trained=was_aware)
    work.try_layers([SCHEMES["int4-g128"], chosen] if chosen.name == "mixed" else [chosen], prefer, scan)
    work.choose(max_loss, prefer)
    return work.finish(max_loss, prefer)


@dataclass
class Trial:
    """A layer in one scheme: what it would be, and what was measured of it."""

    path: str
    layer: Module
    made: Module
    scheme: Scheme
    sqnr: float
    cost: float | None
    before: Sizes
    after: Sizes
    race: Race | None = None


@dataclass
class _Work:
    """One quantization while it goes on."""

    model: Module
    calibration: list[Batch]
    validation: list[Batch]
    metric: Metric | None
    seed: int
    converter: Converter = field(default_factory=Converter)
    seen: dict[str, Seen] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    trials: dict[str, list[Trial]] = field(default_factory=dict)
    """By path, the smallest first."""
    chosen: dict[str, tuple[Trial | None, str]] = field(default_factory=dict)

    def observe(self, gram: bool) -> None:
        """Copy the model, fold batch norms, and see what goes into its layers."""
        if any(isinstance(m, layers.Quantized | layers.Half) for m in self.model.modules()):
            raise QuantizationError(
                "quantize: this model is quantized already. Quantize the float32 model that it was made of."
            )
        self.twin = copy.deepcopy(self.model).eval()
        self.folded = fold.fold_batch_norms(self.twin, inputs_of(self.calibration[0]))
        self.layers = layers_of(self.twin)
        inputs = map(inputs_of, self.calibration)
        self.seen = calibrate(self.twin, inputs, self.layers, gram=gram, seed=self.seed)
        self.score = Score(self.twin, self.validation, self.metric)
        for path, module in self.twin.named_modules():
            own = any(role != "module" for role in module._roles.values())
            if own and path not in self.layers:
                self.left[path or "(model)"] = f"{type(module).__name__} has no form on codes"

    def keep(self, ranges: Mapping[str, Range]) -> None:
        """Take the ranges that training settled on in the place of those of calibration."""
        for path, (low, high) in ranges.items():
            self.seen[path].settled = low, high

    # ------------------------------------------------------------ trials

    def try_layers(self, schemes: Sequence[Scheme], prefer: Prefer, scan: bool) -> None:
        """Make each layer in each scheme, and measure what it loses and how large it is."""
        with console.progress(len(self.layers), "quantize", "layers") as bar:
            for number, (path, layer) in enumerate(self.layers.items(), start=1):
                seen = self.seen[path]
                whole = seen.whole and prefer == "size" and not self.converter.as_trained
                if not seen.calls and not whole:
                    self.left[path] = (
                        "its table is read as a whole" if seen.whole else "calibration never ran it"
                    )
                    continue
                self.trials[path] = []
                for scheme in schemes:
                    self._try(path, layer, scheme, scan)
                bar.update(number)

    def _try(self, path: str, layer: Module, scheme: Scheme, scan: bool) -> None:
        try:
            made = self.converter.convert(layer, self.seen[path], scheme)
        except QuantizationError as error:
            self.left[path] = str(error)
            return
        self.left.pop(path, None)
        x = self.example(path)
        with no_grad():
            if isinstance(layer, Embedding):
                lost = sqnr(layer.weight.data, made.weight.data)  # type: ignore[attr-defined]
            else:
                rows = from_numpy(self.seen[path].kept)
                lost = sqnr(layer(rows).data, made(rows).data)
            cost = self._cost({path: made}) if scan else None
        before, after = (sizes_of(m, x) for m in (layer, made))
        self.trials[path].append(Trial(path, layer, made, scheme, lost, cost, before, after))

    def example(self, path: str) -> Tensor:
        """An input of a layer, of the shape that the model's example input gives it, or calibration."""
        shown = self._examples()
        return shown[path] if path in shown else _zeros(self.seen[path], self.layers[path])

    def _examples(self) -> dict[str, Tensor]:
        if not self._shown:
            given = self.model.example_input
            batch = inputs_of(self.calibration[0]) if given is None else (given,)
            try:
                seen = calibrate(self.twin, [batch], self.layers)
            except TinyTorchError:  # an example input that the model does not take is no reason to fail
                seen = self.seen
            self._shown.update({p: _zeros(s, self.layers[p]) for p, s in seen.items() if s.calls})
        return self._shown

    _shown: dict[str, Tensor] = field(default_factory=dict)

    def _cost(self, made: dict[str, Module]) -> float:
        """What the score loses with these layers in the place of their own."""
        with self._in_place(made):
            return self.score.cost(self.twin)

    @contextmanager
    def _in_place(self, made: dict[str, Module]) -> Iterator[None]:
        """These layers in the place of the model's own, for a while."""
        for path, module in made.items():
            fold.replace(self.twin, path, module)
        try:
            yield
        finally:
            for path in made:
                fold.replace(self.twin, path, self.layers[path])

    # ------------------------------------------------------------ choices

    def choose(self, max_loss: float, prefer: Prefer) -> None:
        """Decide for each layer: the smallest form that speed and the allowed loss leave."""
        for path, trials in self.trials.items():
            if trials:
                best = min(trials, key=lambda trial: trial.after.file)
                self.chosen[path] = best, ""
        if prefer == "speed":
            self._drop_slow()
        self._stay_within(max_loss)

    def _drop_slow(self) -> None:
        """Leave in float32 what codes make slower; layers of equal sizes are timed once."""
        known: dict[Any, Race | None] = {}
        for path, (trial, _) in self.chosen.items():
            if trial is None:
                continue
            x = self.example(path)
            key = repr(trial.layer), repr(trial.made), x.shape
            if key not in known:
                known[key] = race(trial.layer, trial.made, x, seed=self.seed)
            trial.race = known[key]
            if trial.race is not None and trial.race.loses:
                self.chosen[path] = None, f"{1 / trial.race.gain.value:.2f}x slower on codes"

    def _stay_within(self, max_loss: float) -> None:
        """Give the layer that costs most the next larger form, until all together cost what is allowed."""
        while not (cost := self._cost(self._made())) <= max_loss:
            kept = [trial for trial, _ in self.chosen.values() if trial is not None]
            if not kept:
                break
            for trial in kept:
                trial.cost = self._cost({trial.path: trial.made}) if trial.cost is None else trial.cost
            worst = max(kept, key=lambda t: math.inf if t.cost is None or math.isnan(t.cost) else t.cost)
            larger = [
                t
                for t in self.trials[worst.path]
                if t.after.file > worst.after.file and t.scheme.bits > worst.scheme.bits
            ]
            why = f"costs {worst.cost:.4f} alone; all were {cost:.4f} over {max_loss:g} allowed"
            if larger:
                self.chosen[worst.path] = larger[0], f"{larger[0].scheme.name}: {worst.scheme.name} {why}"
            else:
                self.chosen[worst.path] = None, why

    def _made(self) -> dict[str, Module]:
        return {path: trial.made for path, (trial, _) in self.chosen.items() if trial is not None}

    # ------------------------------------------------------------ the end

    def finish(self, max_loss: float, prefer: Prefer) -> QuantizedModel:
        """The model with the chosen layers, and the report; timed as a whole where speed was asked for."""
        whole = self._race() if prefer == "speed" else None
        for path, module in self._made().items():
            fold.replace(self.twin, path, module)
        after = self.score.value(self.twin)
        cost = self.score.cost(self.twin)
        rows = [self._row(path) for path in self.chosen]
        report = Report(
            tuple(rows),
            self.score.name,
            self.score.before,
            after,
            cost,
            max_loss,
            whole,
            tuple(self.left.items()),
            tuple(self.folded),
        )
        return QuantizedModel(self.twin, report)

    def _race(self) -> Race | None:
        """The whole model before and after, on its example input; slower as a whole, it loses layers again.

        The layer that gains least goes first: what goes between layers on codes may cost more than they gain.
        """
        given = self.model.example_input
        inputs = inputs_of(self.calibration[0]) if given is None else (given,)
        before = copy.deepcopy(self.twin)
        while made := self._made():
            with self._in_place(made):
                found = race(before, copy.deepcopy(self.twin), *inputs, seed=self.seed)
            if not found.loses:
                return found
            kept = [(t.race.gain.value, path) for path, (t, _) in self.chosen.items() if t and t.race]
            if not kept:
                return found
            _, path = min(kept)
            self.chosen[path] = None, "the whole model was slower with it"
        return None

    def _row(self, path: str) -> LayerReport:
        trial, why = self.chosen[path]
        shown = trial or min(self.trials[path], key=lambda t: t.after.file)
        kind = type(self.layers[path]).__name__
        return LayerReport(
            path,
            kind,
            _named(shown),
            shown.sqnr,
            shown.cost,
            shown.race,
            shown.before,
            shown.after,
            trial is not None,
            why,
        )


def _named(trial: Trial) -> str:
    """The scheme, or "int8" where that says four bits and the layer kept eight."""
    eight = isinstance(trial.made, layers.Quantized) and trial.made.bits == 8
    return "int8" if eight and trial.scheme.bits == 4 else trial.scheme.name


def _zeros(seen: Seen, layer: Module) -> Tensor:
    """An input of the shape of the first one seen; ones, so that no row is without a scale."""
    if isinstance(layer, Embedding):
        return from_numpy(np.zeros(seen.shape or (1,), np.int64))
    return from_numpy(np.ones(seen.shape, np.float32))


def sizes_of(module: Module, x: Tensor) -> Sizes:
    """Bytes of a layer's weights: in a file (codes entropy-coded), in memory, and read by native kernels."""
    tensors = [t.data for _, t in (*module.named_parameters(), *module.named_buffers())]
    nbytes = sum(t.nbytes for t in tensors)
    file = nbytes
    if isinstance(module, layers.Quantized | layers.Half):
        file = sum(coded_bytes(t) for t in tensors)
    return Sizes(file, nbytes, weight_bytes(module, x))
