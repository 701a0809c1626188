"""The data sets: counts, datasheets, disjoint splits, outside folders, files that lie."""

import gzip
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tinytorch.data import ImageSet, TextCorpus, data_folder, get, info, load, locate, names
from tinytorch.data.embedded import checksum
from tinytorch.data.idx import format_idx
from tinytorch.data.sets import cifar10, mnist
from tinytorch.errors import DataError, ShapeError

SPLITS = ("train", "validation", "test")
EMBEDDED_IMAGES = ("digits", "fashion")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def data_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


def rows(name):
    """Return the datasheet's table: {split: [cells]}."""
    found = re.findall(r"^\| (train|validation|test) \| (.*) \|$", info(name).datasheet, re.M)
    return {split: cells.split(" | ") for split, cells in found}


@pytest.mark.parametrize("name", EMBEDDED_IMAGES)
def test_embedded_images_and_their_datasheet(name):
    table = rows(name)
    for split in SPLITS:
        data = load(name, split)
        count, per_class = table[split]
        assert len(data) == info(name).splits[split] == int(count.replace(",", ""))
        assert np.bincount(data.labels).tolist() == [int(c) for c in per_class.split()]
        x, y = data.batch([0, len(data) - 1])
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert x.shape[2:] == ((8, 8) if name == "digits" else (28, 28))
        assert data.images.min() == 0
        assert data.images.max() == 1
        np.testing.assert_array_equal(data.images[[0, -1]], x)
        np.testing.assert_array_equal(data[0][0], x[0])
    assert checksum(f"{name}.tar.xz") in info(name).datasheet


@pytest.mark.parametrize("name", EMBEDDED_IMAGES)
def test_no_image_is_in_two_splits(name):
    seen = {}
    for split in SPLITS:
        for image in {p.tobytes() for p in load(name, split).pixels}:
            assert seen.setdefault(image, split) == split


@pytest.mark.parametrize("name", ["fashion-full", "mnist", "cifar10"])
def test_datasheets_of_outside_sets(name):
    facts = info(name)
    for split, (count, per_class) in rows(name).items():
        assert facts.splits[split] == int(count.replace(",", "")) == sum(map(int, per_class.split()))
        assert len(per_class.split()) == len(facts.classes) == 10
    if name == "mnist":
        train = [int(c) + 500 for c in rows(name)["train"][1].split()]
        assert tuple(train) == mnist.MNIST_TRAIN
        assert tuple(map(int, rows(name)["test"][1].split())) == mnist.MNIST_TEST
    sums = {
        "mnist": mnist.MNIST_MD5,
        "fashion-full": mnist.FASHION_MD5,
        "cifar10": (cifar10.SET.remotes[0].md5,),
    }
    assert all(md5 in facts.datasheet for md5 in sums[name])


def test_pydocs_and_its_datasheet():
    table, byte_values, files = rows("pydocs"), {}, []
    for split in SPLITS:
        corpus = load("pydocs", split)
        assert isinstance(corpus, TextCorpus)
        count, number = table[split]
        assert len(corpus) == len(corpus.text) == info("pydocs").splits[split] == int(count.replace(",", ""))
        assert len(corpus.files) == int(number)
        byte_values[split] = set(corpus.text)
        files += corpus.files
        text = corpus.text.decode("utf-8")
        assert not re.search(
            r"[\x00-\x09\x0b-\x1f\x7f]| \n|\n{4}", "\n\n".join(f.decode() for f in corpus.files.values())
        )
        assert "\r" not in text
    assert len(files) == len(set(files))
    distinct = [len(byte_values[s]) for s in SPLITS]
    sheet = " ".join(info("pydocs").datasheet.split())
    assert f"{len(set.union(*byte_values.values()))} occur: " in sheet
    assert "{} in train, {} in validation, {} in test".format(*distinct) in sheet
    assert checksum("pydocs.tar.xz") in sheet


def test_test_text_is_not_copied_from_training_text():
    """Of lines of 60 characters or more in test files, few occur in training files."""
    train = set(load("pydocs", "train").text.split(b"\n"))
    long = [line for line in load("pydocs", "test").text.split(b"\n") if len(line) >= 60]
    assert sum(line in train for line in long) / len(long) < 0.02


def test_names_and_splits():
    assert set(names()) == {"digits", "fashion", "fashion-full", "mnist", "cifar10", "pydocs"}
    for name in names():
        facts = info(name)
        assert tuple(facts.splits) == SPLITS
        assert facts.licence in facts.datasheet or facts.licence.split(";")[0] in facts.datasheet
        with pytest.raises(DataError, match="train, validation, test"):
            load(name, "dev")
    for call in (info, load, locate, get):
        with pytest.raises(DataError, match="'imagenet'; choose from digits"):
            call("imagenet")


@pytest.mark.parametrize("name", ["digits", "fashion", "pydocs"])
def test_embedded_sets_take_no_folder(name, tmp_path):
    with pytest.raises(DataError, match="ships with the package"):
        load(name, folder=tmp_path)
    with pytest.raises(DataError, match="ships with the package"):
        get(name, tmp_path)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_set_that_is_not_here_says_what_to_do(name, data_home):
    with pytest.raises(DataError, match=f"tito data get {name} --from DIR") as caught:
        load(name)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="there"):
        load(name, folder=data_home / "nowhere")


def test_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.delenv("TINYTORCH_DATA")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "tinytorch"


def write_mnist(folder, compress=False, train=mnist.MNIST_TRAIN, test=mnist.MNIST_TEST):
    """Write IDX files with the published number of each digit; an image's first bytes tell its place."""
    folder.mkdir(parents=True, exist_ok=True)
    for (images, labels), counts in zip([mnist.FILES[:2], mnist.FILES[2:]], [train, test], strict=True):
        y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.uint8)
        x = np.zeros((len(y), 28, 28), dtype=np.uint8)
        x[:, 0, 0], x[:, 0, 1], x[:, 0, 2] = np.arange(len(y)) // 256, np.arange(len(y)) % 256, y
        for file, array in ((images, x), (labels, y)):
            raw = format_idx(array)
            if compress:
                (folder / f"{file}.gz").write_bytes(gzip.compress(raw, compresslevel=1))
            else:
                (folder / file).write_bytes(raw)
    return folder


def test_mnist_from_a_folder(tmp_path, data_home):
    folder = write_mnist(tmp_path / "given", compress=True)
    places = []
    for split in SPLITS:
        data = load("mnist", split, folder=folder)
        assert len(data) == info("mnist").splits[split]
        assert data.pixels[:, 0, 0, 2].tolist() == data.labels.tolist()
        assert np.bincount(data.labels).tolist() == [int(c) for c in rows("mnist")[split][1].split()]
        if split != "test":
            places += (data.pixels[:, 0, 0, 0].astype(int) * 256 + data.pixels[:, 0, 0, 1]).tolist()
    assert sorted(places) == list(range(60_000))
    assert get("mnist", folder) == data_home / "mnist"
    assert sorted(p.name for p in (data_home / "mnist").iterdir()) == sorted(f"{f}.gz" for f in mnist.FILES)
    assert locate("mnist") == data_home / "mnist"
    assert len(load("mnist", "test")) == 10_000


def test_data_folder_that_holds_the_files_themselves(data_home):
    write_mnist(data_home)
    assert locate("mnist") == data_home
    assert len(load("mnist", "test")) == 10_000


def test_folders_that_are_not_mnist(tmp_path, data_home):
    fashion = write_mnist(tmp_path / "fashion", train=(6000,) * 10, test=(1000,) * 10)
    with pytest.raises(DataError, match="is it another data set"):
        load("mnist", "test", folder=fashion)
    assert len(load("fashion-full", "test", folder=fashion)) == 10_000
    with pytest.raises(DataError, match="is it another data set"):
        get("mnist", fashion)
    assert not (data_home / "mnist").exists()
    letters = write_mnist(tmp_path / "letters", test=(*mnist.MNIST_TEST[:9], 0, 1009))
    with pytest.raises(DataError, match="labels up to 10"):
        load("mnist", "test", folder=letters)
    small = write_mnist(tmp_path / "small", test=(1,) * 10)
    (small / mnist.FILES[2]).write_bytes(format_idx(np.zeros((9, 28, 28), dtype=np.uint8)))
    with pytest.raises(DataError, match=r"shape \(9, 28, 28\) where 10 labels"):
        load("mnist", "test", folder=small)
    with (small / mnist.FILES[0]).open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(DataError, match="cut off"):
        load("mnist", "train", folder=small)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_full_holds_the_embedded_part():
    for split in SPLITS:
        full = load("fashion-full", split, folder=DEBIAN)
        assert np.bincount(full.labels).tolist() == [int(c) for c in rows("fashion-full")[split][1].split()]
        known = {p.tobytes() for p in full.pixels}
        assert all(p.tobytes() in known for p in load("fashion", split).pixels)


def cifar_batch(number):
    """Return a batch file whose images hold their label in red, their place in green, the batch in blue."""
    labels = np.arange(10_000) % 10
    records = np.zeros((10_000, 3, 1024), dtype=np.uint8)
    records[:, 0], records[:, 1], records[:, 2] = labels[:, None], np.arange(10_000)[:, None] % 251, number
    return np.concatenate([labels[:, None].astype(np.uint8), records.reshape(10_000, -1)], axis=1).tobytes()


@pytest.fixture(scope="module")
def cifar_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cifar") / cifar10.INNER
    folder.mkdir()
    for number, file in enumerate((*cifar10.TRAIN_FILES, *cifar10.TEST_FILES)):
        (folder / file).write_bytes(cifar_batch(number))
    return folder.parent


def test_cifar10_from_a_folder(cifar_folder):
    counts = {"train": [4500] * 10, "validation": [500] * 10, "test": [1000] * 10}
    for split in SPLITS:
        data = load("cifar10", split, folder=cifar_folder)
        assert data.sample_shape == (3, 32, 32)
        assert np.bincount(data.labels).tolist() == counts[split]
        np.testing.assert_array_equal(data.pixels[:, 0, 31, 31], data.labels)
        batches = {"train": {0, 1, 2, 3, 4}, "validation": {4}, "test": {5}}
        assert set(data.pixels[:, 2, 0, 0].tolist()) == batches[split]
        assert data[7][0][1, 5, 5] == np.float32(data.pixels[7, 1, 5, 5]) / 255


def write_archive(path, members):
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, raw in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            tar.addfile(entry, io.BytesIO(raw))


def test_cifar10_from_its_archive(tmp_path):
    path = tmp_path / cifar10.ARCHIVE
    write_archive(
        path, {f"{cifar10.INNER}/readme.html": b"x", f"{cifar10.INNER}/test_batch.bin": cifar_batch(5)}
    )
    assert np.bincount(load("cifar10", "test", folder=tmp_path).labels).tolist() == [1000] * 10
    with pytest.raises(DataError, match=r"data_batch_1\.bin.* not in it"):
        load("cifar10", "train", folder=tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="get the file again"):
        load("cifar10", "test", folder=tmp_path)
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="cannot be read"):
        load("cifar10", "test", folder=tmp_path)
    write_archive(path, {f"{cifar10.INNER}/test_batch.bin": b"short"})
    with pytest.raises(DataError, match=r"5 bytes, not 30,730,000"):
        load("cifar10", "test", folder=tmp_path)


def test_cifar10_files_that_lie(tmp_path):
    for file in cifar10.TRAIN_FILES:
        (tmp_path / file).touch()
    raw = bytearray(cifar_batch(5))
    raw[cifar10.RECORD * 3] = 10
    (tmp_path / "test_batch.bin").write_bytes(raw)
    with pytest.raises(DataError, match="labels up to 10"):
        load("cifar10", "test", folder=tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(raw[:-1])
    with pytest.raises(DataError, match="30,729,999 bytes"):
        load("cifar10", "test", folder=tmp_path)


def test_image_set_refuses_what_does_not_fit():
    x = np.zeros((2, 1, 4, 4), dtype=np.uint8)
    with pytest.raises(DataError, match="label 2 is outside 0 to 1"):
        ImageSet("x", "train", x, np.array([0, 2]), "ab")
    with pytest.raises(DataError, match="label -1"):
        ImageSet("x", "train", x, np.array([0, -1]), "ab")
    with pytest.raises(ShapeError, match="do not belong together"):
        ImageSet("x", "train", x, np.array([0]), "ab")
    with pytest.raises(ShapeError, match="do not belong together"):
        ImageSet("x", "train", x[0], np.array([0]), "ab")
    with pytest.raises(DataError, match="above white"):
        ImageSet("x", "train", x + 17, np.array([0, 1]), "ab", white=16)
    assert "2 images (1, 4, 4)" in repr(ImageSet("x", "train", x, np.array([0, 1]), "ab"))
