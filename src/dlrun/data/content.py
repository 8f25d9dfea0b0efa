"""The bytes of files, decompressed where they are gzip files, within a limit and checked against md5s."""

import hashlib
import zipfile
import zlib
from pathlib import Path

from dlrun.data.catalogue import ENTRIES
from dlrun.errors import DataError
from dlrun.files import read_regular

LIMIT = 1 << 30
"""Largest content that is read, in bytes: a few kilobytes of gzip can unfold to terabytes."""

GZIP = b"\x1f\x8b"


def md5(content: bytes) -> str:
    """The md5 in hex; it finds damage, it is no protection against malice."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def read(path: Path) -> bytes:
    """The bytes of a file as they are.

    Raises:
        DataError: It can't be read or exceeds `LIMIT`.
    """
    try:
        return read_regular(path, LIMIT)
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def unzipped(content: bytes, path: Path) -> bytes:
    """The content of gzip bytes, all members; other bytes as they are.

    Raises:
        DataError: Damaged or truncated gzip data, or more than `LIMIT` bytes.
    """
    if not content.startswith(GZIP):
        return content
    parts, room = [], LIMIT
    while content:
        unzip = zlib.decompressobj(wbits=31)
        try:
            parts.append(unzip.decompress(content, room))
        except zlib.error as error:
            raise DataError(f"{path}: damaged gzip file: {error}") from error
        room -= len(parts[-1])
        if not unzip.eof:
            raise DataError(f"{path}: " + ("truncated gzip file" if room else f"unfolds to more than {LIMIT} bytes"))
        content = unzip.unused_data
    return b"".join(parts)


def member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """A file in a zip file.

    Raises:
        DataError: It unfolds to more than `LIMIT` bytes.
    """
    with archive.open(name) as file:
        data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise DataError(f"{path}:{name}: unfolds to more than {LIMIT} bytes")
    return data


def what_it_is(data: bytes, found: str) -> str:
    """What bytes that are not the right ones are, as far as they show it, for the end of a sentence; else empty.

    Args:
        found: Their md5.
    """
    if not data:
        return ": it is empty"
    if data[:200].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return ": it is a web page that a server sent instead"
    for name, entry in ENTRIES.items():
        if any(found in (known.md5, known.content_md5) for known in entry.files.values()):
            return f": it is that of {name}, which belongs into a folder of its own"
    try:
        unzipped(data, Path())
    except DataError as error:
        return ": it is cut off" if "truncated" in str(error) else ": it is damaged"
    return ""


def demand(path: Path | str, expected: str, found: str, data: bytes | None = None) -> None:
    """Raise the DataError of a checksum that doesn't match; of the file's bytes it says what they are."""
    if found == expected:
        return
    reason = "" if data is None else what_it_is(data, found)
    cure = "Fetch it again" if reason else "Fetch it again, or accept a changed copy with data.verify=false"
    raise DataError(f"{path}: checksum mismatch: expected md5 {expected}, found {found}{reason}. {cure}")
