"""Show what a run was and how it went: settings, network, epochs, outcome; of unfinished runs as well."""

import dataclasses
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from dlrun.config.compose import compose
from dlrun.config.groups import Layers, Target
from dlrun.config.overrides import hydra_value
from dlrun.config.schema import Config, plain
from dlrun.config.settled import settle
from dlrun.errors import DlrunError, UsageError
from dlrun.output import Table, column, counted, duration, finite, terminal_width, write
from dlrun.runs.trust import BUILT, hint
from dlrun.runs.uncommitted import kept as kept_code
from dlrun.sinks.console import best_in_words, make_console, print_fact
from dlrun.sinks.curve import accuracy_curve
from dlrun.store import scan
from dlrun.store.folders import is_of, read_config
from dlrun.store.history import history_of
from dlrun.store.kept import kept
from dlrun.store.result import Result, read_result
from dlrun.store.scan import Run, flat
from dlrun.store.status import Status
from dlrun.text import typeable
from dlrun.verbs.parser import Parser, add_json, run_folder

MOST_EPOCHS = 12
"""Rows of the table of epochs, beyond which its middle is left out."""


def main(arguments: list[str]) -> int:
    """Run the verb; the exit status is 1 where the folder is damaged."""
    options = _parser().parse_args(arguments)
    folder: Path = options.run
    _refuse_other_folders(folder)
    console = make_console()
    found, damaged = scan.read([folder])
    config = _config(folder)
    run = found[0] if found else _remains(folder, config)
    if options.json:
        print(json.dumps(_facts(run, config, damaged), indent=2, default=str))
        return 1 if damaged else 0
    _print_facts(console, _head(run, config, damaged) | _outcome(run) | _settings(run, config))
    _print_tables(console, run, config)
    for number, line in enumerate(_next(run, config)):
        _print_facts(console, {"" if number else "next": line})
    return 1 if damaged else 0


def _parser() -> Parser:
    parser = Parser("dlrun show", description=__doc__)
    parser.add_argument("run", metavar="RUN", type=run_folder, help="the folder of a run, or last")
    add_json(parser)
    return parser


def _facts(run: Run, config: Config | None, damaged: Sequence[str]) -> dict[str, Any]:
    """All that is known of a run, for programs."""
    return {
        "folder": str(run.folder),
        "name": run.name,
        "tags": list(run.tags),
        "status": Status.DAMAGED if damaged else run.status,
        "damaged": list(damaged),
        "epoch": run.epoch,
        "epochs": run.fields.get("epochs"),
        "settings": None if config is None else changes(config),
        "fields": {name: value for name, value in run.fields.items() if not name.startswith("choices.")},
        "result": None if run.result is None else dataclasses.asdict(run.result),
        "history": [{name: finite(value) for name, value in row.items()} for row in run.rows],
        "next": _next(run, config),
    }


def _refuse_other_folders(folder: Path) -> None:
    inside = [path.resolve() for path in scan.find([folder])]
    if folder.resolve() in inside:
        return
    if inside:
        raise UsageError(f"{folder}: holds {len(inside)} runs, not one; dlrun report {folder} compares them")
    raise UsageError(f"{folder}: not the folder of a run (no config.yaml and no result.json)")


def _remains(folder: Path, config: Config | None) -> Run:
    """What can still be read of a damaged run; of a result that is not that of its config, nothing."""
    result = read_result(folder)
    if result is not None and config is not None and not is_of(result, settle(config)):
        return Run(folder, {}, None)
    return Run(folder, {}, result, history_of(folder))


def _config(folder: Path) -> Config | None:
    """The config, if it is there and this version of dlrun understands it."""
    try:
        return read_config(folder)
    except DlrunError:
        return None


# --- facts ------------------------------------------------------------------------------------------------


def _print_facts(console: Console, facts: Mapping[str, str]) -> None:
    for name, value in facts.items():
        print_fact(console, name, value, 10)


def _head(run: Run, config: Config | None, damaged: Sequence[str]) -> dict[str, str]:
    result = run.result
    if damaged:
        return {"run": str(run.folder), "status": f"damaged: {'; '.join(damaged)}"}
    epochs = run.fields.get("epochs")
    planned = counted(epochs, "epoch") if isinstance(epochs, int) else "? epochs"
    facts = {"run": str(run.folder), "status": f"{run.status}, {run.epoch} of {planned}"}
    if result and result.error:
        facts["error"] = f"{result.error.get('type')}: {result.error.get('message')}"
    if run.status != Status.COMPLETED:
        facts["log"] = str(run.folder / "run.log")
    if "revision" in run.fields:
        facts["note"] = f"{run.fields['revision']}: a new run of these settings gives other numbers"
    elif result and config is not None and result.hash != (now := settle(config).hash):
        facts["note"] = f"its hash counts in where the data lie, as dlrun 0.1.0 did; now these settings are {now}"
    if result and result.origin:
        facts["origin"] = ", ".join(f"{name} {value}" for name, value in result.origin.items())
    return facts


def _settings(run: Run, config: Config | None) -> dict[str, str]:
    facts = {} if config is None else {"settings": " ".join(changes(config)) or "all defaults"}
    result = run.result
    if result is None:
        return facts
    total, fixed = result.parameters.get("total", 0), result.parameters.get("non_trainable", 0)
    verified = "verified" if result.data.get("verified") else "not verified"
    return {
        **facts,
        "data": f"{result.data.get('name')}, {verified}, {str(result.data.get('fingerprint'))[:8]}",
        "model": f"{run.names.get('model', result.model)}, {total:,} parameters"
        + (f", {fixed:,} of them not trainable" if fixed else ""),
        "device": f"{result.device}, {result.precision}, {counted(result.threads, 'thread')}, {result.cpu_capability}",
        "versions": ", ".join(f"{name} {version}" for name, version in result.versions.items()),
        **_git(run, result),
        "hash": result.hash,
    }


def _git(run: Run, result: Result) -> dict[str, str]:
    files = ", ".join(path.name for path in kept_code(run.folder))
    if not result.git:
        return {"git": f"no commit; {files}"} if files else {}
    dirty = ", with uncommitted changes" if result.git.get("dirty") else ""
    return {"git": f"{str(result.git.get('commit'))[:12]}{dirty}{f': {files}' if files else ''}"}


def changes(config: Config) -> list[str]:
    """What makes this config another than the default one, as one types it in a shell; groups come first."""
    chosen = [f"{group}={option}" for group, option in config.choices.items()]
    try:
        standard, base = compose([]), compose([text for text in chosen if "=" in text])
    except DlrunError:
        # An option of the user's own that is not at hand here: everything is told apart from the defaults.
        standard = base = compose([])
    known = flat(plain(base))
    groups = [f"{group}={option}" for group, option in config.choices.items() if standard.choices.get(group) != option]
    fields = [
        shlex.quote(f"{name}={hydra_value(value)}")
        for name, value in flat(plain(config)).items()
        if known.get(name) != value and not name.startswith("choices.") and name != "precision"
    ]
    return groups + fields


def _outcome(run: Run) -> dict[str, str]:
    result = run.result
    if result is None:
        return {}
    facts = {}
    if result.test and result.train:
        test, train = result.test, result.train
        tested = f"test accuracy {test['accuracy']:.4f}, loss {test['loss']:.4f}"
        if run.val:
            tested = f"val accuracy {run.val['accuracy']:.4f}, loss {run.val['loss']:.4f}; {tested}"
        trained = f"training accuracy {train['accuracy']:.4f}, loss {train['loss']:.4f}"
        facts["last"] = f"epoch {result.epochs}: {tested}; {trained}"
    if result.best:
        facts["best"] = f"epoch {result.best.get('epoch')}: {best_in_words(result.best)}"
    if epochs := kept(run.folder):
        facts["kept"] = f"weights of epoch {', '.join(map(str, epochs))} (--epoch N)"
    parts = ", ".join(f"{name} {duration(value)}" for name, value in result.seconds.items() if name != "total")
    speed = f"; {result.images_per_second:,.0f} images/s" if result.images_per_second else ""
    return {**facts, "time": f"{duration(result.seconds.get('total'))} ({parts}){speed}"}


def _next(run: Run, config: Config | None) -> list[str]:
    def trusted(*groups: str) -> str:
        return hint(config, groups) if config else ""

    folder, log = typeable(run.folder), typeable(run.folder / "run.log")
    if run.status == Status.RUNNING:
        return [f"tail -f {log}"]
    if run.status != Status.COMPLETED:
        return [f"dlrun resume {folder}{trusted(*BUILT)}"]
    return [
        f"dlrun predict {folder} IMAGE{trusted('model')}",
        f"dlrun evaluate {folder}{trusted('model', 'data')}",
        f"dlrun resume {folder} epochs={2 * run.epoch}{trusted(*BUILT)}",
        f"tensorboard --logdir {folder}",
    ]


# --- tables -----------------------------------------------------------------------------------------------


def _print_tables(console: Console, run: Run, config: Config | None) -> None:
    history = run.rows
    _print_table(console, _epochs(history, run))
    lines = accuracy_curve(history, console.encoding)
    for line in [Text(), *lines] if lines else []:
        console.print(line)
    _print_table(console, _layers(config))
    console.print()


def _print_table(console: Console, table: Table) -> None:
    if table.records:
        console.print(Text("\n" + write(table, "text", terminal_width()).rstrip()), soft_wrap=True)


def _layers(config: Config | None) -> Table:
    """The layers with shapes and parameters, where the network is a list and its data are known."""
    columns = [column("layer"), column("output", "shape"), column("parameters", right=True)]
    if config is None or not isinstance(config.model, Layers) or isinstance(config.data, Target):
        return Table(columns, [])
    from dlrun.data.facts import facts
    from dlrun.models.phrases import plan

    try:
        known = facts(config.data)
        phrases = plan(config.model, known.shape, len(known.classes))
    except DlrunError:
        return Table(columns, [])
    records = [
        {
            "layer": phrase.text,
            "shape": " x ".join(map(str, phrase.out_shape)),
            "parameters": f"{phrase.parameters + phrase.statistics:,}",
        }
        for phrase in phrases
    ]
    return Table(columns, records)


def _epochs(history: Sequence[Mapping[str, float]], run: Run) -> Table:
    names = history[0] if history else ()
    evaluated = [name for name in names if name.startswith(("val_", "test_"))]
    others = [name for name in names if name not in ("epoch", "images_per_second", *evaluated)]
    shown = ["epoch", *evaluated, *others] if history else []
    best = (run.result.best or {}).get("epoch") if run.result else None
    records = [{name: _number(name, row[name]) for name in shown} for row in history]
    return Table(
        [column(name.replace("_", " "), name, right=True) for name in shown],
        list(_abridged(records, best)),
    )


def _number(name: str, value: float) -> str:
    if name == "epoch":
        return f"{value:.0f}"
    return f"{value:.1f}" if name == "seconds" else f"{value:.4g}" if name == "lr" else f"{value:.4f}"


def _abridged(records: Sequence[dict[str, str]], best: int | None) -> Iterable[dict[str, str]]:
    """The first, the best and the last epochs; dots stand for those left out."""
    last = len(records)
    wanted = {1, 2, 3, last - 2, last - 1, last, best}
    left_out = False
    for number, record in enumerate(records, start=1):
        if last <= MOST_EPOCHS or number in wanted:
            left_out = False
            yield record
        elif not left_out:
            left_out = True
            yield {"epoch": "…"}
