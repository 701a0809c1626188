"""Models: shapes, configurations, and learning: every parameter moves, one batch is learnt by heart."""

import math

import numpy as np
import pytest

from tinytorch import Tensor, no_grad
from tinytorch.errors import DataError, ShapeError
from tinytorch.models import CNN, GPT, MLP, build, generate, names
from tinytorch.nn import functional
from tinytorch.nn.module import Module
from tinytorch.random import Generator, manual_seed

SMALL = {
    "mlp": {"sizes": (20, 16, 12, 5)},
    "cnn": {"image_size": 8, "num_classes": 5},
    "gpt": {"vocab_size": 11, "context": 8, "width": 16, "layers": 2, "heads": 2},
}


def batch(name: str) -> tuple[Tensor, Tensor]:
    generator = Generator(8)
    if name == "gpt":
        return generator.randint(0, 11, (4, 8)), generator.randint(0, 11, (32,))
    shape = (6, 20) if name == "mlp" else (6, 1, 8, 8)
    return generator.rand(*shape), generator.randint(0, 5, (6,))


def loss_of(model: Module, x: Tensor, labels: Tensor) -> Tensor:
    logits = model(x)
    return functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels)


def descend(model: Module, x: Tensor, labels: Tensor, rate: float) -> float:
    """One step along the sign of the gradient, which needs no tuning by layer."""
    model.zero_grad()
    loss = loss_of(model, x, labels)
    loss.backward()
    with no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.assign_(parameter - parameter.grad.sign() * rate)
    return float(loss.item())


def test_the_architectures_of_the_journey() -> None:
    sizes = {name: build(name).num_parameters() for name in names()}
    # 784*128+128 + 128*64+64 + 64*10+10; 16*9+16 + 32*16*9+32 + 1568*64+64 + 64*10+10;
    # 256*128 + 128*128 + 4 * (2*256 + 4*(128*128+128) + 128*512+512 + 512*128+128) + 256
    assert sizes == {"mlp": 109_386, "cnn": 105_866, "gpt": 842_496}


@pytest.mark.parametrize("name", names())
def test_example_input_fits_and_is_the_same_each_time(name: str) -> None:
    model, twin = build(name), build(name)
    assert model.example_input is not None
    assert np.array_equal(model.example_input.data, twin.example_input.data)
    assert np.isfinite(model(model.example_input).data).all()


@pytest.mark.parametrize("name", names())
def test_config_rebuilds_the_model(name: str) -> None:
    model = build(name, **SMALL[name])
    twin = build(name, **model.config())
    assert repr(twin) == repr(model)
    twin.load_state_dict(model.state_dict())
    assert np.array_equal(twin(model.example_input).data, model(model.example_input).data)


@pytest.mark.parametrize("name", names())
def test_every_parameter_moves_in_a_step(name: str) -> None:
    manual_seed(3)
    model = build(name, **SMALL[name])
    before = {key: p.numpy() for key, p in model.named_parameters()}
    x, labels = batch(name)
    loss_of(model, x, labels).backward()
    with no_grad():
        for parameter in model.parameters():
            parameter.assign_(parameter - parameter.grad * 0.1)
    still = [key for key, p in model.named_parameters() if np.array_equal(p.data, before[key])]
    # a key's bias adds the same to all scores of a query, and softmax takes it out again
    assert [key for key in still if not key.endswith("k_proj.bias")] == []


@pytest.mark.parametrize("name", names())
def test_a_model_learns_one_batch_by_heart(name: str) -> None:
    manual_seed(3)
    model = build(name, **SMALL[name])
    x, labels = batch(name)
    first = descend(model, x, labels, 1e-2)
    for step in range(200):
        last = descend(model, x, labels, 1e-2 * (1 - step / 200))
    assert first > 1
    assert last < 0.05


@pytest.mark.parametrize("name", names())
def test_a_batch_gives_what_its_rows_give(name: str) -> None:
    model = build(name, **SMALL[name]).to("float64")
    x, _ = batch(name)
    x = x if name == "gpt" else x.to("float64")
    rows = [model(x[i : i + 1]).data for i in range(x.shape[0])]
    assert np.allclose(model(x).data, np.concatenate(rows), rtol=1e-9, atol=1e-12)


def test_cnn_is_what_it_says() -> None:
    model = CNN(image_size=8, generator=Generator(1))
    x = y = Generator(2).rand(3, 1, 8, 8)
    for conv in (model.conv1, model.conv2):
        y = functional.max_pool2d(functional.conv2d(y, conv.weight, conv.bias, padding=1).relu(), 2)
    y = functional.linear(y.reshape(3, -1), model.fc1.weight, model.fc1.bias).relu()
    expected = functional.linear(y, model.fc2.weight, model.fc2.bias)
    assert np.array_equal(model(x).data, expected.data)


def test_mlp_flattens_images_and_takes_an_empty_batch() -> None:
    assert MLP()(Tensor(np.zeros((2, 1, 28, 28), np.float32))).shape == (2, 10)
    assert MLP()(Tensor(np.zeros((0, 784), np.float32))).shape == (0, 10)


# ---------------------------------------------------------------- GPT


def test_gpt_first_values() -> None:
    model = GPT(generator=Generator(1))
    spread = {name: float(p.data.std()) for name, p in model.named_parameters() if p.ndim == 2}
    for name, found in spread.items():
        into_residual = name.endswith(("out_proj.weight", "fc2.weight"))
        expected = 0.02 / math.sqrt(8) if into_residual else 0.02
        assert found == pytest.approx(expected, rel=0.05), name
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    assert all((p.data == 0).all() for p in biases)
    loss = loss_of(model, model.example_input, Generator(2).randint(0, 256, (128,))).item()
    assert loss == pytest.approx(math.log(256), abs=0.1)


def test_gpt_head_is_the_embedding() -> None:
    model = GPT(**SMALL["gpt"])
    assert model.head.weight is model.wte.weight
    assert "head.weight" not in dict(model.named_parameters())
    assert {"head.weight", "wte.weight"} <= set(model.state_dict())


@pytest.mark.parametrize("position", [0, 4, 7])
def test_gpt_does_not_look_ahead(position: int) -> None:
    model = GPT(**SMALL["gpt"], generator=Generator(1)).to("float64")
    ids, _ = batch("gpt")
    changed = ids.numpy()
    changed[:, position] = (changed[:, position] + 1) % 11
    before, after = model(ids).data, model(Tensor(changed)).data
    assert np.array_equal(before[:, :position], after[:, :position])
    assert (np.abs(before - after)[:, position:].max(-1) > 0).all()


@pytest.mark.parametrize("shape", [(8,), (1, 9), (1, 1, 4)])
def test_gpt_says_what_does_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="at most 8 positions"):
        GPT(**SMALL["gpt"])(Tensor(np.zeros(shape, np.int64)))


def test_gpt_names_an_id_out_of_range() -> None:
    with pytest.raises(ShapeError, match="id 11 is out of range"):
        GPT(**SMALL["gpt"])(Tensor([[1, 11]]))


# ---------------------------------------------------------------- generate


def fixed_logits(model: GPT, favourites: list[int]) -> None:
    """Make the model's logits the same everywhere: larger for the favourites."""
    for parameter in model.parameters():
        parameter.assign_(0.0)
    model.norm.bias.assign_(1.0)
    weight = np.zeros(model.wte.weight.shape)
    weight[favourites] = np.arange(1, len(favourites) + 1)[:, None] / model.width
    model.wte.weight.assign_(weight)


def test_generate_goes_beyond_the_context_and_leaves_the_mode() -> None:
    model = GPT(**SMALL["gpt"], generator=Generator(1))
    out = generate(model, [1, 2, 3], 12, generator=Generator(4))
    assert out[:3] == [1, 2, 3]
    assert len(out) == 15
    assert model.training
    assert out == generate(model, [1, 2, 3], 12, generator=Generator(4))
    assert out != generate(model, [1, 2, 3], 12, generator=Generator(5))
    assert generate(model, [1], 0) == [1]


def test_generate_takes_the_likeliest_at_temperature_zero() -> None:
    model = GPT(**SMALL["gpt"], generator=Generator(1))
    out = generate(model, [1, 2], 5, temperature=0)
    for end in range(2, 7):
        assert out[end] == int(model(Tensor([out[:end]])).data[0, -1].argmax())


def test_generate_samples_by_softmax_of_the_scaled_logits() -> None:
    from scipy.stats import chisquare

    model = GPT(vocab_size=4, context=4, width=4, layers=1, heads=1)
    fixed_logits(model, [1, 2, 3])  # logits 0, 1, 2, 3
    counts = np.bincount(generate(model, [0], 2000, temperature=2.0, generator=Generator(1))[1:], minlength=4)
    p = np.exp(np.arange(4) / 2)
    assert chisquare(counts, 2000 * p / p.sum()).pvalue > 1e-3


def test_generate_keeps_to_the_top_k() -> None:
    model = GPT(vocab_size=6, context=4, width=4, layers=1, heads=1)
    fixed_logits(model, [1, 4, 2])
    assert set(generate(model, [0], 60, top_k=2, generator=Generator(1))[1:]) == {2, 4}


@pytest.mark.parametrize(
    "settings", [{"prompt_ids": []}, {"max_new_tokens": -1}, {"temperature": -0.5}, {"top_k": 0}], ids=str
)
def test_generate_refuses_settings_out_of_range(settings: dict[str, object]) -> None:
    with pytest.raises(DataError, match="generate: prompt of"):
        generate(GPT(**SMALL["gpt"]), **{"prompt_ids": [1], "max_new_tokens": 2, **settings})


# ---------------------------------------------------------------- by name


def test_build_refuses_what_it_does_not_know() -> None:
    with pytest.raises(DataError, match="'vgg' does not exist; there are: mlp, cnn, gpt"):
        build("vgg")
    with pytest.raises(DataError, match="depth"):
        build("gpt", depth=3)
    with pytest.raises(ShapeError, match="sizes"):
        MLP((4,))
    with pytest.raises(ShapeError, match="too small"):
        CNN(image_size=3)
