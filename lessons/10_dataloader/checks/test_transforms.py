"""Transforms of whole batches of images."""

import numpy as np
import pytest
from helpers import pictures, which_shift

from tinytorch.data.transforms import compose, normalize, random_crop, random_flip
from tinytorch.errors import DataError, DTypeError, ShapeError
from tinytorch.learn import expect
from tinytorch.learn.expect import exercise

both = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def gen(seed=0):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- normalize


@both
@exercise("normalize")
def test_one_number_for_all(rng, dtype):
    images, labels = pictures(rng, dtype=dtype)
    want = (images.astype(np.float64) - 0.25) / 0.5
    expect.close("normalize(0.25, 0.5)((images, labels), gen())[0]", want, dtype=dtype)


@both
@exercise("normalize")
def test_one_number_a_channel(rng, dtype):
    images, labels = pictures(rng, channels=3, height=5, width=4, dtype=dtype)
    mean, std = [0.1, 0.2, 0.3], [1.0, 2.0, 4.0]
    want = np.stack([(images[:, c] - mean[c]) / std[c] for c in range(3)], axis=1)
    expect.close("normalize(mean, std)((images, labels), gen())[0]", want, dtype=dtype)
    expect.close("normalize(0.5, std)((images, labels), gen())[0][:, 2]", (images[:, 2] - 0.5) / 4.0)


@exercise("normalize")
def test_other_fields_and_the_input_stay(rng):
    images, labels = pictures(rng)
    before = images.copy()
    apply = normalize(0.5, 0.5)
    expect.equal("apply((images, labels), gen())[1]", labels)
    expect.equal("len(apply((images, labels, labels), gen()))", 3)
    expect.equal("images", before)


@exercise("normalize")
def test_settings_that_make_no_sense():
    expect.raises("normalize(0.5, 0.0)", DataError)
    expect.raises("normalize([0.5, 0.5], [1.0, -1.0])", DataError)
    expect.raises("normalize(0.5, float('nan'))", DataError)
    expect.raises("normalize([[0.5]], 1.0)", DataError)
    expect.raises("normalize(0.5, [[1.0]])", DataError)


@exercise("normalize")
def test_images_that_do_not_fit(rng):
    images, labels = pictures(rng, channels=3)
    apply = normalize([0.1, 0.2], [1.0, 1.0])
    expect.raises("apply((images, labels), gen())", ShapeError)
    two = normalize(0.5, [1.0, 2.0])
    expect.raises("two((images, labels), gen())", ShapeError)
    whole = np.ones((2, 1, 3, 3), np.int64)
    expect.raises("normalize(0.5, 0.5)((whole,), gen())", DTypeError)
    expect.raises("normalize(0.5, 0.5)((labels,), gen())", ShapeError)


# ---------------------------------------------------------------- random_crop


@exercise("random_crop")
def test_each_image_is_shifted(rng):
    images, labels = pictures(rng, count=12)
    cropped = expect.value("random_crop(2)((images, labels), gen())[0]")
    expect.close("cropped.shape", images.shape)
    expect.true("which_shift(images, cropped, 2).count(None) == 0", "each is its image, shifted, with zeros")
    expect.true("len(set(which_shift(images, cropped, 2))) > 1", "each image has a shift of its own")


@exercise("random_crop")
def test_every_shift_occurs():
    images = np.arange(1.0, 10.0).reshape(1, 1, 3, 3).repeat(400, axis=0)
    cropped = random_crop(1)((images,), gen())[0]
    want = sorted((down, across) for down in (-1, 0, 1) for across in (-1, 0, 1))
    expect.equal("sorted(set(which_shift(images, cropped, 1)))", want)


@exercise("random_crop")
def test_all_shifts_are_equally_likely():
    images = np.arange(1.0, 5.0).reshape(1, 1, 2, 2).repeat(900, axis=0)
    cropped = random_crop(1)((images,), gen(3))[0]
    found = which_shift(images, cropped, 1)
    low = "min(found.count((d, a)) for d in (-1, 0, 1) for a in (-1, 0, 1)) > 50"
    expect.true(low, "of 900 images about 100 have each of the 9 shifts")


@exercise("random_crop")
def test_the_generator_decides(rng):
    images, labels = pictures(rng, count=10)
    want = random_crop(2)((images, labels), gen(5))[0]
    expect.equal("random_crop(2)((images, labels), gen(5))[0]", want)
    other = random_crop(2)((images, labels), gen(6))[0]
    expect.true("not np.array_equal(other, want)", "another generator gives other shifts")


@both
@exercise("random_crop")
def test_crop_without_padding(rng, dtype):
    images, labels = pictures(rng, dtype=dtype)
    before = images.copy()
    got = expect.close("random_crop(0)((images, labels), gen())[0]", images, dtype=dtype)
    expect.true("not np.shares_memory(got, images)", "the result has memory of its own")
    expect.equal("random_crop(2)((images, labels), gen())[1]", labels)
    expect.equal("random_crop(2)((images, labels), gen())[0].dtype.name", np.dtype(dtype).name)
    expect.equal("images", before)


@exercise("random_crop")
def test_crop_refuses(rng):
    labels = np.arange(3)
    expect.raises("random_crop(-1)", DataError)
    expect.raises("random_crop(1)((labels,), gen())", ShapeError)


# ---------------------------------------------------------------- random_flip


def flipped(images, result):
    """For each image: True where it came back mirrored, False where it did not, None where it is another."""
    found = []
    for image, new in zip(images, result, strict=True):
        same, mirrored = np.array_equal(new, image), np.array_equal(new, image[:, :, ::-1])
        found.append(False if same else True if mirrored else None)
    return found


@both
@exercise("random_flip")
def test_left_to_right(rng, dtype):
    images, labels = pictures(rng, count=1, dtype=dtype)
    want = np.stack([[[row[::-1] for row in channel] for channel in image] for image in images])
    expect.close("random_flip(1.0)((images, labels), gen())[0]", want, rtol=0, atol=0, dtype=dtype)
    expect.close("random_flip(0.0)((images, labels), gen())[0]", images, rtol=0, atol=0, dtype=dtype)


@exercise("random_flip")
def test_each_image_for_itself(rng):
    images, labels = pictures(rng, count=400, height=2, width=3)
    half = random_flip()((images, labels), gen(1))[0]
    expect.true("flipped(images, half).count(None) == 0", "each image is as it was, or mirrored as a whole")
    expect.true("140 < flipped(images, half).count(True) < 260", "about half of 400 images are mirrored")
    few = random_flip(0.1)((images, labels), gen(1))[0]
    expect.true("10 < flipped(images, few).count(True) < 90", "about 40 of 400 are, with probability 0.1")


@exercise("random_flip")
def test_the_generator_decides_on_flips(rng):
    images, labels = pictures(rng, count=40)
    want = random_flip()((images, labels), gen(5))[0]
    expect.equal("random_flip()((images, labels), gen(5))[0]", want)
    other = random_flip()((images, labels), gen(6))[0]
    expect.true("not np.array_equal(other, want)", "another generator flips others")


@exercise("random_flip")
def test_flip_leaves_the_rest(rng):
    images, labels = pictures(rng)
    before = images.copy()
    for probability in (0.0, 1.0):
        got = expect.value(f"random_flip({probability})((images, labels), gen())[0]")
        expect.true("not np.shares_memory(got, images)", "the result has memory of its own")
    expect.equal("random_flip(1.0)((images, labels), gen())[1]", labels)
    expect.equal("images", before)
    apply = compose(random_flip(1.0), random_flip(1.0))
    expect.close("apply((images,), gen())[0]", images)


@exercise("random_flip")
def test_flip_refuses():
    labels = np.arange(3)
    expect.raises("random_flip(-0.1)", DataError)
    expect.raises("random_flip(1.1)", DataError)
    expect.raises("random_flip(1.0)((labels,), gen())", ShapeError)
