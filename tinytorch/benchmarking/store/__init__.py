"""The store of results: a signed chain of records, boards made of it, and a queue of uploads."""
