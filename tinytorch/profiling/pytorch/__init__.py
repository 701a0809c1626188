"""Models in PyTorch, profiled with the same rules and beside the same model here."""
