"""Records: the evidence of runs as lines of text that one can commit, mail and merge; no weights, no paths, no names.

    dlrun records pack PATH … -o FILE     the complete runs below folders
    dlrun records merge FILE … -o FILE    files of records as one, each run once
    dlrun records show FILE …             what is in them, averaged over seeds

What FILE holds already stays in it. A folder in place of a FILE means the files *.jsonl in it. `reproduce`, `report`
and `plan` take such files with --records.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from dlrun.errors import UsageError
from dlrun.files import check_place
from dlrun.locks import NoLocks, locked
from dlrun.output import counted, say, terminal_width, write
from dlrun.records.files import Merged, read, record_files
from dlrun.records.record import NotComplete, Record
from dlrun.records.summary import summary
from dlrun.store.scan import find
from dlrun.verbs.parser import Parser, run_folder


def main(arguments: list[str]) -> int:
    """Run the verb; returns the exit status.

    Raises:
        Damaged: A line of a file is not as it was written.
        UsageError: A file is missing or holds something else, or nothing can be packed.
    """
    options = _parser().parse_args(arguments)
    if options.action != "show":
        check_place(options.output)
    if options.action == "pack":
        return _pack(options.paths, options.output)
    if options.action == "merge":
        return _merge(record_files(options.files), options.output)
    print(write(summary(read(record_files(options.files))), options.form, terminal_width()), end="")
    return 0


def _parser() -> Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("dlrun records", description=__doc__, formatter_class=raw)
    actions = parser.add_subparsers(dest="action", required=True, metavar="pack|merge|show")
    pack = actions.add_parser("pack", help="the complete runs below folders", description=__doc__, formatter_class=raw)
    pack.add_argument(
        "paths", nargs="+", type=run_folder, metavar="PATH", help="folders of runs, or folders above them"
    )
    merge = actions.add_parser("merge", help="files as one, each run once", description=__doc__, formatter_class=raw)
    show = actions.add_parser("show", help="what is in files", description=__doc__, formatter_class=raw)
    for action in (merge, show):
        action.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files of records, or folders of them")
    for action in (pack, merge):
        action.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="the file to add to")
    form = show.add_mutually_exclusive_group()
    for name, what in (("md", "Markdown"), ("csv", "CSV"), ("json", "JSON")):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=f"write {what}")
    show.set_defaults(form="text")
    return parser


def _pack(paths: Sequence[Path], output: Path) -> int:
    folders = find(paths)
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "packed.jsonl"
        unfinished = _write_lines(folders, packed)
        if unfinished:
            print(f"left out: {counted(unfinished, 'run')} without a complete result", file=sys.stderr)
        if not packed.stat().st_size:
            raise UsageError(f"no complete run below {' '.join(map(str, paths))}")
        return _merge([packed], output)


def _write_lines(folders: Iterable[Path], path: Path) -> int:
    """Write the records of run folders; the number of those that are not complete. Others left out are named."""
    unfinished = 0
    with path.open("wb") as file:
        for folder in folders:
            try:
                line = Record.of_run(folder).line()
            except NotComplete:
                unfinished += 1
                continue
            except UsageError as error:
                say(f"left out: {error}", sys.stderr)
                continue
            file.write(line + b"\n")
    return unfinished


def _merge(files: Sequence[Path], output: Path) -> int:
    """Add the lines of files to `output`; of several processes that do this one after the other."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(NoLocks):
            stack.enter_context(locked(output.with_name(f".{output.name}.lock")))
        return _added(files, output)


def _added(files: Sequence[Path], output: Path) -> int:
    there, merged = Merged(), Merged()
    for line in read([output] if output.exists() else []):
        there.add(line)
        merged.add(line)
    for line in read(file for file in files if file != output):
        merged.add(line)
    merged.write(output)
    say(f"{output}: {counted(len(merged), 'record')}, {len(merged) - len(there)} of them new")
    if merged.disagreeing:
        runs = counted(len(merged.disagreeing), "run")
        say(f"{runs} with results that disagree, all kept; dlrun records show {output} names them")
    return 0
