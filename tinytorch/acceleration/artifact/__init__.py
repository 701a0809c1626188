"""Program files: a graph with its weights in one safetensors file, read without the model's code."""

from tinytorch.acceleration.artifact.document import is_stateless
from tinytorch.acceleration.artifact.load import Artifact, load_artifact, load_graph
from tinytorch.acceleration.artifact.save import save_graph
from tinytorch.acceleration.artifact.validate import Limits

__all__ = ["Artifact", "Limits", "is_stateless", "load_artifact", "load_graph", "save_graph"]
