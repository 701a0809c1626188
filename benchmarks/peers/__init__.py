"""Other systems that run the same model on the same numbers, each at its best."""
