"""Dependencies point one way: a package imports only packages below it."""

import ast
import re
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import imbdet

ROOT = Path(imbdet.__file__).parent

# Layers from the bottom up. Packages of one layer may use each other, without a cycle.
# The first layer is without torch, which takes seconds to import.
LAYERS = [
    {
        "config_files",
        "drawing",
        "errors",
        "files",
        "formats",
        "methods",
        "programs",
        "reference",
        "run_files",
        "untrusted",
        "wording",
    },
    {"ops"},
    {"kernels"},
    {"structures"},
    {"assigners", "samplers", "weighting", "losses"},
    {"records", "suspects", "alignment"},
    {"learning"},
    {"report", "advice"},
    {"compat"},
    {"config"},
    {"modeling", "data", "evaluation"},
    {"engine"},
    {"figures"},
    {"analysis", "prediction", "surveying"},
    {"compare"},
    {"search", "pruning", "cleaning", "forecast"},
    {"cli"},
]
WITHOUT_TORCH = LAYERS[0]
WITHOUT_DETECTRON2 = set().union(*LAYERS[: LAYERS.index({"compat"})])
LAYER_OF = {name: i for i, layer in enumerate(LAYERS) for name in layer}
FILES = [file for file in sorted(ROOT.rglob("*.py")) if file != ROOT / "__init__.py"]


def module_of(file):
    """The name of a file's module when it is imported."""
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = set(map(module_of, FILES))


def imported_modules(file, nodes_of=ast.walk):
    """Absolute names of the modules that a file imports, wherever in the file."""
    for node in nodes_of(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module


def outside_functions(tree):
    """The nodes of the code that runs when a file is imported."""
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        yield node
        if not isinstance(node, ast.FunctionDef):
            nodes.extend(ast.iter_child_nodes(node))


def part(file):
    """The package or module of the first level that a file belongs to."""
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file):
    own = part(file)
    assert own in LAYER_OF, f"{own} has no layer yet: add it to LAYERS"
    for module in imported_modules(file):
        top, *rest = module.split(".")
        if top == "imbdet" and rest and rest[0] in LAYER_OF:
            assert LAYER_OF[rest[0]] <= LAYER_OF[own], f"{file} imports {module}"
        if own in WITHOUT_DETECTRON2:
            assert top not in {"detectron2", "fvcore", "yacs"}, f"{file} imports {module}"
        if own in WITHOUT_TORCH:
            assert top not in {"torch", "torchvision", "triton"}, f"{file} imports {module}"


def test_packages_import_each_other_in_no_circle():
    uses = defaultdict(set)
    for file in FILES:
        names = (module.split(".") for module in imported_modules(file) if module in MODULES)
        uses[part(file)] |= {name for _, name, *_ in names} - {part(file)}
    TopologicalSorter(uses).prepare()


def test_modules_import_each_other_in_no_circle():
    """Imports in functions are allowed: they run when their own module is complete."""
    uses = {
        module_of(file): MODULES & set(imported_modules(file, outside_functions)) for file in FILES
    }
    TopologicalSorter(uses).prepare()


def test_types_are_checked_where_detectron2_is_not_needed():
    settings = (ROOT.parent / "pyproject.toml").read_text().partition("[tool.mypy]")[2]
    named = set(re.findall(r'"imbdet/(\w+)', settings.partition("]")[0]))
    assert named == WITHOUT_DETECTRON2 - {"drawing", "report"}


@pytest.mark.parametrize("package", sorted({part(f) for f in FILES if len(f.parts) > 1}))
def test_packages_on_detectron2_prepare_it_first(package):
    init = ROOT / package / "__init__.py"
    # The command line imports nothing but itself before it knows what is wanted.
    if LAYER_OF[package] < LAYER_OF["config"] or package == "cli" or not init.exists():
        return
    imports = [module for module in imported_modules(init) if module.startswith("imbdet.")]
    assert imports[0] == "imbdet.compat"


@pytest.mark.parametrize("name", sorted(LAYER_OF))
def test_every_part_is_in_the_table_of_the_architecture(name):
    page = (ROOT.parent / "docs" / "architecture.md").read_text()
    table = page.partition("| layer |")[2].partition("\n\n")[0]
    shown = f"`{name}/`" if (ROOT / name).is_dir() else f"`{name}.py`"
    assert shown in table
