"""Compare two runs, or two groups of seeds: what differs, how much better one is, and on which pictures.

    dlrun compare outputs/2026-11-21/09-41-37 last
    dlrun compare 'outputs/sweeps/width/fc_64-*' 'outputs/sweeps/width/fc_512-*'
    dlrun compare outputs/sweeps/width           the two configurations of a sweep
    dlrun compare psc_mnist:1 psc_mnist:2        two rows of a table, by number or label
    dlrun compare A B --pictures                 test both again: which pictures only one of them gets right

A and B are folders of runs, folders of several seeds of one configuration, or patterns for them. Of any other number of
words the runs must be of two configurations. The difference of the test accuracies after the last epoch has an interval
and a p-value by the rule of verdicts (Welch's test on moderated variances; equal seeds do not pair runs of different
networks); P(A > B) is the chance that the next run of A beats the next run of B. All of it speaks of this test set.

With --pictures a group gets a picture right if more than half of its runs do. Of two single runs an exact sign test
(McNemar's) says if these two networks differ on pictures like these; other seeds are not in it.
"""

import argparse
import glob
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlrun.errors import UsageError
from dlrun.files import check_place, write_atomically
from dlrun.output import Table, column, counted, duration, few, finite, folded, plain_text, say, terminal_width, write
from dlrun.report.leaderboard import Group, grouped, repeated, varying
from dlrun.report.versus import Versus, versus
from dlrun.statistics import sign_test
from dlrun.store import scan
from dlrun.store.scan import Run
from dlrun.store.status import Status
from dlrun.text import visible
from dlrun.verbs.loaded import FIELDS, fields
from dlrun.verbs.parser import Parser, picture_file, run_folder

if TYPE_CHECKING:
    from dlrun.verbs.differing import Differing

MOST_FIELDS = 5
MOST_LISTED = 10
"""Pictures that are listed."""


@dataclass(frozen=True)
class Side:
    """What is called A or B."""

    name: str
    group: Group


def main(arguments: list[str]) -> int:
    """Run `dlrun compare`: 0, or 1 where a run folder is damaged and left out.

    Raises:
        UsageError: What is named is not two configurations, or they were tested on different pictures.
    """
    options = _parser().parse_intermixed_args(arguments)
    for path in filter(None, (options.csv, options.sheet)):
        check_place(path)
    words = [word for word in options.words if not _is_field(word)]
    typed = fields((word for word in options.words if _is_field(word)), FIELDS, ("data",))
    damaged: list[str] = []
    sides = _sides(words, damaged)
    found = versus(sides[0].group, sides[1].group)
    differing = None
    if options.pictures or options.csv or options.sheet:
        from dlrun.verbs.differing import differing as looked_at

        differing = looked_at(found, typed)
    elif typed:
        raise UsageError(f"compare: {next(iter(typed))}=… goes with --pictures; without it nothing is tested again")
    print(_as_json(sides, found, differing) if options.json else _as_text(sides, found, differing), end="")
    if differing is not None and options.csv:
        write_atomically(options.csv, write(differing.table(), "csv"))
        say(f"{options.csv}: {counted(len(differing.records), 'picture')}", sys.stderr)
    if differing is not None and options.sheet:
        differing.write_sheet(options.sheet)
    return 1 if damaged else 0


def _parser() -> Parser:
    parser = Parser(prog="dlrun compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "words",
        nargs="+",
        metavar="RUN|FOLDER|PATTERN|TABLE:ROW",
        help=f"A and B; among them, for --pictures, FIELD=VALUE: {', '.join(FIELDS)}, data.…",
    )
    parser.add_argument("--json", action="store_true", help="write JSON")
    parser.add_argument("--pictures", action="store_true", help="test the networks again, picture by picture")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="--pictures, and write those that only one gets right")
    parser.add_argument(
        "--sheet", type=picture_file, metavar="FILE.png", help="--pictures, and write a contact sheet of them"
    )
    return parser


def _is_field(word: str) -> bool:
    key, sign, _ = word.partition("=")
    return bool(sign) and (key in FIELDS or key.startswith("data.")) and not Path(word).exists()


# --- what is compared ---------------------------------------------------------------------------------------


def _sides(words: Sequence[str], damaged: list[str]) -> tuple[Side, Side]:
    """A and B; what is left out is said, and what is damaged added to `damaged`."""
    named = [(word, grouped(_complete(word, damaged))) for word in words]
    if len(named) == 2 and all(len(groups) == 1 for _, groups in named):
        sides = [Side(word, groups[0]) for word, groups in named]
    elif len(named) == 2:
        word, groups = next((word, groups) for word, groups in named if len(groups) > 1)
        raise UsageError(
            f"{word}: {len(groups)} configurations ({_differing_in(groups)}), not one; "
            f"a pattern in quotes names one of them: '{word.rstrip('/*')}/*…*'"
        )
    else:
        groups = grouped(run for _, some in named for group in some for run in group.runs)
        if len(groups) != 2:
            what = "one configuration" if len(groups) == 1 else f"{len(groups)} configurations"
            differing = f" ({_differing_in(groups)})" if len(groups) > 1 else ""
            raise UsageError(f"compare: these runs are of {what}{differing}; two are compared")
        sides = [Side(_called(group, groups), group) for group in groups]
    for note in repeated(group for _, some in named for group in some):
        say(note, sys.stderr)
    return sides[0], sides[1]


def _differing_in(groups: Sequence[Group]) -> str:
    return "differing in " + few(varying(groups), MOST_FIELDS)


def _called(group: Group, groups: Sequence[Group]) -> str:
    return " ".join(f"{name}={plain_text(group.fields.get(name))}" for name in varying(groups))


def _complete(word: str, damaged: list[str]) -> list[Run]:
    """The complete runs that a word names."""
    runs, sentences = scan.read(_folders(word))
    damaged += sentences
    unfinished = [f"{run.folder}: {run.status}" for run in runs if run.status != Status.COMPLETED]
    done = [run for run in runs if run.status == Status.COMPLETED and run.result and run.result.test]
    if not done:
        why = few([*sentences, *unfinished], MOST_FIELDS) or "no runs there"
        raise UsageError(f"{word}: no complete run ({why})")
    for sentence in [*sentences, *unfinished]:
        say(f"left out: {sentence}", sys.stderr)
    return done


def _folders(word: str) -> list[Path]:
    if Path(word).exists():
        return scan.find([Path(word)])
    if glob.has_magic(word):
        # pathlib's takes no absolute patterns.
        paths = [Path(path) for path in sorted(glob.glob(word)) if Path(path).is_dir()]  # noqa: PTH207
        if not paths:
            raise UsageError(f"{word}: no folder has such a name")
        return scan.find(paths)
    table, colon, row = word.partition(":")
    return _of_row(table, row) if colon else scan.find([run_folder(word)])


def _of_row(name: str, wanted: str) -> list[Path]:
    """The folders of the runs that there are of a row of a table, in the first of its precisions that has any."""
    from dlrun.tables import planned as plan
    from dlrun.tables import table

    published = table.load(name)
    rows = [row for row in published.rows if wanted in (str(row.number), row.label)]
    if not rows:
        labels = few([f"{row.number} ({row.label})" for row in published.rows], 10)
        raise UsageError(f"{name}:{wanted}: no such row; there are {labels}")
    found = scan.find([plan.RUNS] if plan.RUNS.is_dir() else [])
    seeds = {run.fields.get("seed") for run in scan.read(found)[0]}
    planned = plan.plan(published, rows[:1], {seed for seed in seeds if isinstance(seed, int)})
    ways = [planned, *([plan.in_precision(one, name) for one in planned] for name in published.precisions)]
    there = ([one.folder for one in way if one.folder in found] for way in ways)
    return next(filter(None, there), [])


# --- what is said of it -------------------------------------------------------------------------------------


def _as_text(sides: Sequence[Side], found: Versus, differing: "Differing | None") -> str:
    head = [f"{letter}: {side.name}" for letter, side in zip("AB", sides, strict=True)]
    parts = [_lines(head)]
    if found.settings:
        parts.append(write(_settings(found), "text", terminal_width()))
    parts.append(write(_measured(sides, found), "text", terminal_width()))
    parts.append(_lines([*_sentences(found), *found.notes]))
    if differing is not None:
        parts.append(_pictures(differing))
    return "\n".join(parts)


def _lines(sentences: Sequence[str]) -> str:
    return "\n".join(folded(visible(sentence), terminal_width()) for sentence in sentences) + "\n"


def _settings(found: Versus) -> Table:
    records = [{"setting": name, "A": a, "B": b} for name, (a, b) in found.settings.items()]
    return Table([column("setting"), column("A"), column("B")], records)


def _measured(sides: Sequence[Side], found: Versus) -> Table:
    rows = [_facts(side) for side in sides]
    records = [{"": name, "A": rows[0][name], "B": rows[1][name]} for name in rows[0] if any(row[name] for row in rows)]
    records += [{"": name, "A": a, "B": b} for name, (a, b) in found.made.items()]
    return Table([column(""), column("A"), column("B")], records)


def _facts(side: Side) -> dict[str, str]:
    results = [run.result for run in side.group.completed() if run.result]
    seeds = sorted({result.seed for result in results})
    folds = sorted({run.fields["fold"] for run in side.group.completed() if run.fields.get("fold") is not None})
    repeats = [_repeats("seed", seeds), *([_repeats("fold", folds)] if folds else [])]
    seconds = sum(result.seconds.get("total", 0.0) for result in results) / len(results)
    return {
        "test accuracy": side.group.accuracy.text(4) if side.group.accuracy else "",
        "val accuracy": side.group.val.text(4) if side.group.val else "",
        "runs": f"{len(results)}, {', '.join(repeats)}",
        "parameters": f"{results[0].parameters.get('total', 0):,}",
        "time": duration(seconds),
    }


def _repeats(noun: str, numbers: Sequence[int]) -> str:
    return f"{noun if len(numbers) == 1 else f'{noun}s'} {few(list(map(str, numbers)), 10)}"


def _sentences(found: Versus) -> list[str]:
    pair = found.pair
    difference = f"A - B: {100 * pair.difference:+.2f} points"
    if found.interval is None:
        return [difference]
    low, high = (100 * end for end in found.interval)
    verdict = "A and B are not told apart" if found.verdict == "not told apart" else found.verdict
    return [
        f"{difference}, 95 % interval {low:+.2f} to {high:+.2f}, p = {pair.p:.2g}: {verdict}",
        f"P(A > B) {_chance(pair.chance)}: the chance that the next run of A beats the next run of B",
    ]


def _chance(value: float) -> str:
    if value < 0.01 or value > 0.99:
        return "< 0.01" if value < 0.01 else "> 0.99"
    return f"= {value:.2f}"


def _pictures(differing: "Differing") -> str:
    both, first, second, neither = differing.counts
    records = [
        {"": "A right", "B right": both, "B wrong": first},
        {"": "A wrong", "B right": second, "B wrong": neither},
    ]
    columns = [column(""), column("B right", right=True), column("B wrong", right=True)]
    told = f"Only A gets {first:,} right, only B {second:,}"
    p = _sign_p(differing)
    if p is not None:
        told += f"; exact sign test of these two networks: p = {p:.2g}"
    shown = write(Table(columns, records, title="pictures"), "text", terminal_width())
    listed = differing.table(MOST_LISTED)
    return (
        shown
        + _lines([*differing.notes, told])
        + (f"\n{write(listed, 'text', terminal_width())}" if listed.records else "")
    )


def _sign_p(differing: "Differing") -> float | None:
    """Of two single runs, whether they differ on pictures like these."""
    _, first, second, _ = differing.counts
    return sign_test(first, second) if differing.runs == (1, 1) else None


def _as_json(sides: Sequence[Side], found: Versus, differing: "Differing | None") -> str:
    pair = found.pair
    return (
        json.dumps(
            {
                **{key: _side(side) for key, side in zip("ab", sides, strict=True)},
                "settings": {name: {"a": a, "b": b} for name, (a, b) in found.settings.items()},
                "made": {name: {"a": a, "b": b} for name, (a, b) in found.made.items()},
                "difference": pair.difference,
                "interval": found.interval,
                "p": pair.p if found.interval else None,
                "chance": finite(pair.chance) if found.interval else None,
                "verdict": found.verdict,
                "notes": found.notes,
                "pictures": None if differing is None else _pictures_of(differing),
            },
            indent=2,
            default=str,
        )
        + "\n"
    )


def _side(side: Side) -> dict[str, Any]:
    runs = side.group.completed()
    return {
        "name": side.name,
        "folders": [str(run.folder) for run in runs],
        "seeds": [run.fields.get("seed") for run in runs],
        "test_accuracy": side.group.accuracy.mean if side.group.accuracy else None,
        "test_accuracy_std": side.group.accuracy.std if side.group.accuracy else None,
    }


def _pictures_of(differing: "Differing") -> Mapping[str, Any]:
    names = ("both_right", "only_a_right", "only_b_right", "both_wrong")
    return {
        **dict(zip(names, differing.counts, strict=True)),
        "p": _sign_p(differing),
        "notes": differing.notes,
        "differing": differing.records,
    }
