"""The errors a user can meet: each says what was given, what was expected and the likely cure."""


class TinyTorchError(Exception):
    """Base of every error raised on purpose by TinyTorch."""


class ShapeError(TinyTorchError, ValueError):
    """Shapes, axes or indices that do not fit together."""


class DTypeError(TinyTorchError, TypeError):
    """A value or dtype that an operation does not take."""


class GradientError(TinyTorchError, RuntimeError):
    """A gradient that was asked for but cannot be computed."""


class DataError(TinyTorchError, ValueError):
    """A data set, file or batch that is missing, damaged or out of range."""


class CheckpointError(TinyTorchError, RuntimeError):
    """Weights or training state that cannot be saved or loaded."""


class TrainingError(TinyTorchError, RuntimeError):
    """Training that cannot go on, such as a loss that is no longer finite."""


class ProfilingError(TinyTorchError, ValueError):
    """A measurement that cannot be made or read, or figures that cannot be compared."""


class MetaError(TinyTorchError, RuntimeError):
    """The values of a tensor that has shape and dtype but no data, or an op on it outside of `meta()`."""


class BackendError(TinyTorchError, ValueError):
    """A backend that nobody registered."""


class ProgramError(TinyTorchError, RuntimeError):
    """A compiled program, or a file of one, that cannot be made, read or run."""


class LearnError(TinyTorchError, ValueError):
    """A workspace, lesson or submission that is missing, damaged or used in a wrong way."""


class QuantizationError(TinyTorchError, ValueError):
    """A model, scheme or calibration data that cannot be quantized, or not in this way."""


class CompressionError(TinyTorchError, ValueError):
    """A model, sparsity, pattern or budget with which nothing can be pruned, shared, shrunk or distilled."""


class ModelFileError(TinyTorchError, ValueError):
    """A file of a language model that is damaged, cut off, or of a kind that is not read."""


class CacheError(TinyTorchError, RuntimeError):
    """A cache of keys and values that is full, or that does not hold what is asked of it."""


class GenerationError(TinyTorchError, ValueError):
    """A prompt or a setting with which no text can be generated."""


class SandboxError(TinyTorchError, RuntimeError):
    """A box for code or files that are not trusted that cannot be made here."""


class BenchmarkError(TinyTorchError, ValueError):
    """An entry, event, measurement or result of TinyMLPerf that is damaged, not allowed or not to be had."""
