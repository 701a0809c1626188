"""Quantization: weights and activations as codes of eight bits and fewer, with what is lost measured."""

from tinytorch.quantization.aware import aware
from tinytorch.quantization.quantize import quantize
from tinytorch.quantization.report import LayerReport, Report
from tinytorch.quantization.scheme import SCHEMES, Scheme

__all__ = ["SCHEMES", "LayerReport", "Report", "Scheme", "aware", "quantize"]
