"""The data sets by name: their files, checksums, mirrors, classes, shape, mean and deviation."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class File:
    """One official file: its md5, and that of its decompressed content where it is known."""

    md5: str
    content_md5: str | None = None


@dataclass(frozen=True)
class CatalogueEntry:
    """What is known of a data set before a single file of it is read."""

    title: str
    format: str
    """`idx`, `cifar`, `asl`, `folder`, `pixels` or `synthetic`: which reader understands its files."""
    shape: tuple[int, int, int] = (1, 28, 28)
    """Channels, height, width."""
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """Mean and standard deviation of the training pixels, one a channel, on a scale of 0-1."""
    pictures: tuple[int, int] | None = None
    """How many are in the training set and in the test set."""
    files: Mapping[str, File] = field(default_factory=dict)
    """The files that mirrors serve."""
    mirrors: tuple[str, ...] = ()
    """Addresses to which a file's name is appended, in the order of trial."""
    folder: str = ""
    """The folder in which torchvision (idx) or the official archive (cifar) keeps the files."""
    members: Mapping[str, str] = field(default_factory=dict)
    """Files of an archive with their md5s: those of the training set first, the test set last."""
    page: str = ""
    """Where a person finds data that no mirror serves."""


DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

MNIST = CatalogueEntry(
    title="MNIST, handwritten digits",
    format="idx",
    classes=DIGITS,
    mean=(0.1307,),
    std=(0.3081,),
    pictures=(60_000, 10_000),
    files={
        "train-images-idx3-ubyte.gz": File("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
        "train-labels-idx1-ubyte.gz": File("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
        "t10k-images-idx3-ubyte.gz": File("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
        "t10k-labels-idx1-ubyte.gz": File("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
    },
    # The second host has been dead for long; it stays last because it was the original one.
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    folder="MNIST/raw",
)

FASHION_MNIST = CatalogueEntry(
    title="Fashion-MNIST, pieces of clothing",
    format="idx",
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    mean=(0.2860,),
    std=(0.3530,),
    pictures=(60_000, 10_000),
    files={
        "train-images-idx3-ubyte.gz": File("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        "train-labels-idx1-ubyte.gz": File("25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
        "t10k-images-idx3-ubyte.gz": File("bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
        "t10k-labels-idx1-ubyte.gz": File("bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
    },
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    folder="FashionMNIST/raw",
)

KMNIST = CatalogueEntry(
    title="Kuzushiji-MNIST, old Japanese characters",
    format="idx",
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    mean=(0.1918,),
    std=(0.3483,),
    pictures=(60_000, 10_000),
    files={
        "train-images-idx3-ubyte.gz": File("bdb82020997e1d708af4cf47b453dcf7"),
        "train-labels-idx1-ubyte.gz": File("e144d726b3acfaa3e44228e80efcd344"),
        "t10k-images-idx3-ubyte.gz": File("5c965bf0a639b31b8f53240b1b52f4d7"),
        "t10k-labels-idx1-ubyte.gz": File("7320c461ea6c1c855c0b718fb2a4b134"),
    },
    mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    folder="KMNIST/raw",
)

CIFAR10 = CatalogueEntry(
    title="CIFAR-10, ten kinds of objects in colour",
    format="cifar",
    shape=(3, 32, 32),
    classes=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    pictures=(50_000, 10_000),
    files={"cifar-10-python.tar.gz": File("c58f30108f718f92721af3b95e74349a")},
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    folder="cifar-10-batches-py",
    members={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
)

FINE = """\
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
COARSE = """\
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""

CIFAR100 = CatalogueEntry(
    title="CIFAR-100, a hundred kinds of objects in colour",
    format="cifar",
    shape=(3, 32, 32),
    classes=tuple(FINE.split()),
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    pictures=(50_000, 10_000),
    files={"cifar-100-python.tar.gz": File("eb9058c3a382ffc7106e4002c42a8d85")},
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    folder="cifar-100-python",
    members={"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
)

CIFAR100_COARSE = tuple(COARSE.split())
"""The names of CIFAR-100's 20 superclasses."""

ASL = CatalogueEntry(
    title="Sign Language MNIST, letters of American Sign Language",
    format="asl",
    classes=tuple("ABCDEFGHIKLMNOPQRSTUVWXY"),
    mean=(0.6247,),
    std=(0.1913,),
    pictures=(27_455, 7_172),
    page="https://www.kaggle.com/datasets/datamunge/sign-language-mnist",
)

ENTRIES: dict[str, CatalogueEntry] = {
    "mnist": MNIST,
    "fashion_mnist": FASHION_MNIST,
    "kmnist": KMNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "asl": ASL,
    "image_folder": CatalogueEntry(title="your own pictures, one folder a class", format="folder"),
    "image_table": CatalogueEntry(title="your own pictures, their classes in a CSV file", format="folder"),
    "pixel_table": CatalogueEntry(title="your own pictures, a line of pixels each in a CSV file", format="pixels"),
    "synthetic": CatalogueEntry(title="noisy random patterns, for trials without data", format="synthetic"),
}

WITH_FILES = tuple(name for name, entry in ENTRIES.items() if entry.format not in ("folder", "pixels", "synthetic"))
"""Data sets with files of their own, which can be fetched."""
