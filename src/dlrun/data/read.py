"""From the files that were found to arrays: each format by its reader, checked, with a fingerprint."""

from dlrun.config.groups import Cifar100, Data, ImageFolder, PixelTable, Synthetic
from dlrun.data import asl, cifar, folder, idx, pixels, synthetic
from dlrun.data.catalogue import ENTRIES
from dlrun.data.decoded import Decoded, checked
from dlrun.data.places import Source


def read(config: Data, source: Source) -> Decoded:
    """The data set as stored, before any resizing (except a folder's pictures, which differ in size).

    Raises:
        DataError: Damaged, incomplete or inconsistent files, or (with `data.verify`) a wrong checksum.
    """
    return checked(_decode(config, source), str(source.folder) if source.folder.name else config.name)


def _decode(config: Data, source: Source) -> Decoded:
    if isinstance(config, Synthetic):
        return synthetic.make(config)
    if isinstance(config, ImageFolder):
        return folder.read(source, config)
    if isinstance(config, PixelTable):
        return pixels.read(source, config)
    entry = ENTRIES[config.name]
    if entry.format == "idx":
        return idx.read(source.files, entry, config.verify)
    if entry.format == "asl":
        return asl.read(source.files, entry, config.verify)
    labels = config.labels if isinstance(config, Cifar100) else None
    return cifar.read(source.files, entry, config.verify, labels)
