"""Paths of modules: order, ancestors, shared modules."""

from hypothesis import given
from hypothesis import strategies as st

from tinytorch import nn
from tinytorch.models import GPT
from tinytorch.profiling.tree import ancestors, in_order, modules_by_path

PATHS = st.lists(st.lists(st.sampled_from("abc"), max_size=4).map(".".join), max_size=12)


def test_a_shared_module_is_found_under_both_of_its_names() -> None:
    shared = nn.ReLU()
    found = modules_by_path(nn.Sequential(shared, nn.Sequential(shared)))
    assert list(found) == ["", "0", "1", "1.0"]
    assert found["0"] is found["1.0"]


def test_the_order_is_that_of_the_model() -> None:
    model = GPT(vocab_size=5, context=4, width=8, layers=12, heads=2)
    known = modules_by_path(model)
    used = [path for path in known if path.endswith("q_proj")]
    found = in_order(known, reversed(used))
    assert [path for path in found if path in used] == used
    assert found.index("blocks.2") < found.index("blocks.10")


@given(PATHS, PATHS)
def test_each_path_once_below_its_parent(known: list[str], used: list[str]) -> None:
    found = in_order(known, used)
    assert len(set(found)) == len(found)
    assert set(found) == {""}.union(*map(ancestors, used))
    for place, path in enumerate(found[1:], 1):
        parent = ancestors(path)[-2]
        before = found[:place]
        assert parent in before
        between = before[before.index(parent) + 1 :]
        assert all(parent == "" or other.startswith(f"{parent}.") for other in between)
