"""The direction of imports, the owners of libraries, and what starts without heavy ones."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hpo"

# A part may import itself and parts of lower layers; the longest matching name decides.
LAYERS = (
    {"hpo", "hpo.errors", "hpo.modules"},
    {"hpo.choices"},
    {"hpo.config", "hpo.files", "hpo.tables", "hpo.untrusted"},
    {"hpo.data", "hpo.models", "hpo.stats", "hpo.training.engine"},
    {"hpo.training", "hpo.space", "hpo.storage"},
    {"hpo.study"},
    {"hpo.run"},
    {"hpo.evaluate"},
    {"hpo.weights"},
    {"hpo.views"},
    {"hpo.export", "hpo.plots"},
    {"hpo.report"},
    {"hpo.api"},
    {"hpo.cli"},
    {"hpo.__main__"},
)

OWNERS = {
    "torch": ("hpo.training", "hpo.weights"),
    "optuna": (
        "hpo.study",
        "hpo.storage",
        "hpo.run",
        "hpo.evaluate",
        "hpo.plots",
        "hpo.report",
        "hpo.api",
    ),
    "plotly": ("hpo.plots",),
    "typer": ("hpo.cli",),
    "rich": ("hpo.cli",),
    "sklearn": ("hpo.data", "hpo.study.baselines", "hpo.evaluate"),
    "PIL": ("hpo.data",),
    "pooch": ("hpo.data",),
    "pydicom": ("hpo.data",),
    "ray": ("hpo.training.ray_cluster", "hpo.training.ray_connection"),
}

HEAVY = ("torch", "optuna", "plotly", "sklearn", "ray")

POSIX_ONLY = {"fcntl", "grp", "pwd", "resource", "termios"}
POSIX_SIGNALS = ("SIGHUP", "SIGALRM", "setitimer", "pthread_kill")


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


MODULES = modules()


def imports(path: Path, *, is_top: bool = False) -> Iterator[str]:
    """Yield the full name of every module that a file imports: anywhere, or only at its top."""
    tree = ast.parse(path.read_text())
    for node in tree.body if is_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            assert node.module
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module


def part_of(module: str) -> str:
    parts = [part for layer in LAYERS for part in layer if is_within(module, part)]
    assert parts, f"{module} is in no layer: give it one in tests/test_architecture.py"
    return max(parts, key=len)


def is_within(module: str, part: str) -> bool:
    return module == part or (part != "hpo" and module.startswith(f"{part}."))


def layer_of(module: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if part_of(module) in layer)


def test_imports_point_one_way() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        for imported in imports(path)
        if imported.partition(".")[0] == "hpo" and part_of(imported) != part_of(module)
        if layer_of(imported) >= layer_of(module)
    ]
    assert wrong == []


def test_there_are_no_import_cycles() -> None:
    graph = {
        name: {i for i in imports(path, is_top=True) if i in MODULES and i != name}
        for name, path in MODULES.items()
    }
    done: set[str] = set()
    while ready := [name for name in graph if name not in done and graph[name] <= done]:
        done.update(ready)
    assert sorted(set(graph) - done) == []


def test_heavy_libraries_are_imported_only_by_their_owners() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        for imported in imports(path)
        if (owners := OWNERS.get(imported.partition(".")[0]))
        if not any(is_within(module, owner) for owner in owners)
    ]
    assert wrong == []


def test_no_import_is_hidden_under_type_checking() -> None:
    assert [m for m, path in MODULES.items() if "TYPE_CHECKING" in path.read_text()] == []


LIGHT = {
    "--help": 0,
    "grid --help": 0,
    "grid --param batch_sise": 2,
    "grid --param batch_size --set learning_rate=-1": 2,
    "evaluate mine --input-scale raw": 2,
    "predict weights.pt image.png --input-scale half": 2,
    "show mine --target 93": 2,
}


def test_the_package_help_and_usage_errors_import_nothing_heavy(tmp_path: Path) -> None:
    # typer itself checks the arguments of a command with pydantic.
    program = (
        "import sys, hpo\n"
        "print('found:', [name for name in sys.modules if name.startswith('hpo.')])\n"
        "from hpo.cli import main\n"
        f"for line in {[*LIGHT]}:\n"
        "    sys.argv = ['hpo', *line.split()]\n"
        "    try: main()\n"
        "    except SystemExit as end: code = end.code or 0\n"
        f"    heavy = {HEAVY} + (('pydantic',) if line == '--help' else ())\n"
        "    print('found:', [name for name in heavy if name in sys.modules], code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("found: ")]
    assert found == ["found: []", *(f"found: [] {code}" for code in LIGHT.values())], done.stderr


def test_every_public_name_exists() -> None:
    import hpo

    for name in hpo.__all__:
        assert getattr(hpo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = hpo.nonsense


def test_every_module_can_be_imported_without_posix() -> None:
    # Ray itself adapts to the system, and may not be installed.
    unused = {"hpo.__main__", "hpo.training.ray_cluster", "hpo.training.ray_connection"}
    names = [name for name in MODULES if name not in unused]
    code = (
        "import os, signal, sys\n"
        "import optuna_dashboard, plotly.io, rich.progress, sklearn.linear_model, torch, typer\n"
        "import filelock, PIL.Image, pooch, safetensors.torch, sqlalchemy, wsgiref.simple_server\n"
        f"for name in {sorted(POSIX_ONLY)}: sys.modules[name] = None\n"
        f"for name in {POSIX_SIGNALS}: delattr(signal, name)\n"
        "for name in ('sched_getaffinity', 'sched_setaffinity', 'O_NOFOLLOW', 'O_NONBLOCK'):\n"
        "    delattr(os, name)\n"
        f"for name in {names}: __import__(name)\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
