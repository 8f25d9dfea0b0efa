"""What lies in a folder of one's own pictures and is not used, and classes that would be lost."""

from collections import Counter
from pathlib import Path

from dlrun.data.listing import below, composed, files_below, folders_in, is_picture, split_folders
from dlrun.data.places import Source
from dlrun.errors import DataError
from dlrun.output import counted, few

MOST_KINDS = 6
"""Kinds of unused files that a line names."""

UNREAD = {
    *(".ai", ".arw", ".cr2", ".cr3", ".dng", ".emf", ".eps", ".exr", ".hdr", ".heic", ".heif", ".jxl", ".nef", ".orf"),
    *(".pdf", ".ps", ".raf", ".raw", ".rw2", ".svg", ".wmf", ""),
}
"""Of files that are pictures, or may be, and that Pillow does not decode by itself: a class of these is no litter."""


def unused(source: Source) -> str:
    """What lies in a folder of pictures and belongs to no class, in a line; empty where everything is used.

    Of a table's folder, which may hold anything, only pictures count.
    """
    folder, used = source.folder, set(source.listing.pictures)
    files = list(files_below(folder))
    others = Counter(path.suffix.lower() for path in files if source.table is None and not is_picture(path))
    places = Counter(_place(path, source) for path in files if is_picture(path) and path not in used)
    kinds = [f"{number:,} {suffix or 'without a suffix'}" for suffix, number in others.most_common()]
    said = [
        few(kinds, MOST_KINDS),
        ", ".join(f"{counted(number, 'picture')} {place}" for place, number in sorted(places.items())),
    ]
    empty = [
        f"{(top / name).relative_to(folder)}/"
        for split, top in _tops(source).items()
        for name, paths in getattr(source.listing, split).items()
        if not paths
    ]
    lines = [f"not used: {'; '.join(filter(None, said))}"] if any(said) else []
    return "; ".join([*lines, *([f"no picture in {', '.join(empty)}"] if empty else [])])


def _place(path: Path, source: Source) -> str:
    if source.table is not None:
        return f"that {source.table.name} does not name"
    return f"in {path.relative_to(source.folder).parts[0]}/" if path.parent != source.folder else "in no folder"


def _tops(source: Source) -> dict[str, Path]:
    """The folders whose folders are classes, by split; none where a table says what is a class."""
    if source.table is not None:
        return {}
    splits = split_folders(source.folder)
    return splits if "train" in splits else {"train": source.folder}


def refuse_lost_classes(source: Source) -> None:
    """Refuse what was meant to be classes and would be none; names are looked at, no picture is opened.

    Raises:
        DataError: A class that only another split has, one class, classes a level deeper, or a class of pictures
            that are not read.
    """
    where, train = source.table or source.folder, source.listing.train
    for name in ("test", "val"):
        split = getattr(source.listing, name)
        strange = [one for one, paths in split.items() if paths and not train.get(one)]
        if strange:
            raise DataError(f"{where}: {name}/ has classes that train/ has not: {', '.join(strange)}")
    for name in train if source.table is None else ():
        files = [] if train[name] else _unread_of(_tops(source)["train"], name)
        if files:
            kinds = ", ".join(sorted({path.suffix.lower() or "no suffix" for path in files}))
            raise DataError(
                f"{where}: the class {name} has no picture that Pillow reads, but {counted(len(files), 'other file')} "
                f"({kinds}); convert them, or take its folder away"
            )
    if len(source.listing.classes) < 2:
        name, only = "image_table" if source.table else "image_folder", ", ".join(source.listing.classes)
        raise DataError(f"{name}: one class, {only}, in {where}; expected two at least{_advice(source)}")


def _advice(source: Source) -> str:
    if source.table is not None:
        return ""
    top = _tops(source)["train"]
    inside = [one for only in folders_in(top) if below(only) for one in folders_in(only)]
    deeper = len([one for one in inside if below(one)]) > 1
    return f", a folder for each{f'; did you mean data.root={inside[0].parent}?' if deeper else ''}"


def _unread_of(top: Path, name: str) -> list[Path]:
    """The files of a class that are pictures of a kind that is not read, or may be."""
    classes = [one for one in folders_in(top) if composed(one.name) == name]
    return [path for one in classes for path in files_below(one) if path.suffix.lower() in UNREAD]
