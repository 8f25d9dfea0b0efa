"""Writes the shapes as PNG files, one folder a class, to try data=image_folder with: python draw.py FOLDER"""

import sys
from pathlib import Path

from PIL import Image
from shapes import load


def main(folder: Path) -> None:
    """Write every picture to folder/train/CLASS/ or folder/test/CLASS/."""
    dataset = load(train=300, test=60)
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        for number, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            path = folder / name / dataset.classes[int(label)] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(path)


main(Path(sys.argv[1]))
