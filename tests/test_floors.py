"""Imports go down only: the floors of docs/design.md."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "dlrun"
FLOORS = [
    {"errors", "extras", "files", "locks", "signals", "statistics", "text"},
    {"fields"},
    {"groups"},
    {"config", "events"},
    {"result", "environment", "saved", "targets", "precision"},
    {"settled"},
    {"compose", "naming", "folders", "distributed"},
    {"memory", "randomness", "checkpoint", "data", "models", "optim", "trust"},
    {"state"},
    {"step"},
    {"graph"},
    {"training", "evaluation"},
    {"sinks", "sheets", "parts", "loading", "shelf"},
    {"runs", "outcome", "exporting"},
    {"sweeps", "tables", "report", "slurm", "records"},
    {"verbs"},
    {"cli", "__main__"},
]
"""From the ground up; parts of one floor may import each other's modules."""
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def imports(path: Path) -> set[str]:
    """The parts of dlrun that a module imports at its top or inside functions, type-checking ones aside."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    ignored = {id(node) for block in ast.walk(tree) if is_type_checking(block) for node in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in ignored:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dlrun"):
            names = [node.module] if node.module != "dlrun" else [f"dlrun.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("dlrun.")]
        else:
            continue
        found |= {name.split(".")[1] for name in names if "." in name}
    return found


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def test_every_part_has_a_floor() -> None:
    parts = {part_of(path) for path in SOURCE.rglob("*.py")} - {"__init__"}
    assert parts == set(FLOOR)


def test_imports_go_down_only() -> None:
    upwards = []
    for path in SOURCE.rglob("*.py"):
        own = part_of(path)
        if own == "__init__":
            continue
        for other in imports(path) & FLOOR.keys():
            if FLOOR[other] > FLOOR[own]:
                upwards.append(f"{path.relative_to(SOURCE)} imports {other}")
    assert upwards == []


def test_hydra_stays_above_the_runs() -> None:
    below = {name for name, floor in FLOOR.items() if floor <= FLOOR["runs"]} - {"compose"}
    texts = {path: path.read_text() for path in SOURCE.rglob("*.py") if part_of(path) in below}
    assert [path for path, text in texts.items() if "import hydra" in text or "from hydra" in text] == []
