"""Imports go down only: the floors of docs/design.md."""

import ast
import re
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "dlrun"
FLOORS = [
    {"drawing", "errors", "extras", "git", "linux", "locks", "randomness", "statistics", "text"},
    {"config", "environment", "files", "output"},
    {"data", "models", "store"},
    {"optim", "records"},
    {"tables", "training"},
    {"sinks"},
    {"report", "runs"},
    {"sweeps"},
    {"arrays"},
    {"lab", "slurm"},
    {"verbs"},
    {"cli"},
    {"__main__"},
]
"""From the ground up. Those of one floor know nothing of each other, so that no circle can hide on it."""
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
            if other != own and FLOOR[other] >= FLOOR[own]:
                upwards.append(f"{path.relative_to(SOURCE)} imports {other}")
    assert upwards == []


def modules_imported(path: Path) -> set[Path]:
    """The modules of dlrun that a module imports at its top: what is imported inside functions can't tie a knot."""
    found: set[Path] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dlrun":
            place = SOURCE.joinpath(*node.module.split(".")[1:])
            found |= {place.with_suffix(".py"), *(place / f"{alias.name}.py" for alias in node.names)}
    return {one for one in found if one.is_file()}


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = {path: modules_imported(path) for path in SOURCE.rglob("*.py") if path.name != "__init__.py"}
    while free := {path for path, needed in left.items() if not needed & left.keys()}:
        left = {path: needed for path, needed in left.items() if path not in free}
    assert [str(path.relative_to(SOURCE)) for path in left] == []


def test_below_the_sweeps_only_composing_knows_hydra() -> None:
    below = {name for name, floor in FLOOR.items() if floor <= FLOOR["runs"]}
    texts = {path.relative_to(SOURCE): path.read_text() for path in SOURCE.rglob("*.py") if part_of(path) in below}
    knowing = [str(path) for path, text in texts.items() if re.search(r"^\s*(import|from) hydra\b", text, re.MULTILINE)]
    assert knowing == ["config/compose.py"]


def test_every_folder_is_a_package_that_says_what_it_holds() -> None:
    folders = {path.parent for path in SOURCE.rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []
    docs = {folder.name: ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) for folder in folders}
    assert [name for name, text in docs.items() if not text] == []


def test_a_class_that_others_use_has_a_name_of_its_own() -> None:
    places: dict[str, list[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(SOURCE)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
