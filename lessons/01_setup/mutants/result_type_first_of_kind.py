"""result_type takes the first dtype of the highest kind."""


def result_type(*dtypes):
    return max(dtypes, key=lambda d: RANK[d.kind])
