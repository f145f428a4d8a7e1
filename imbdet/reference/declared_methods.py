"""The methods that a YAML file can name, read from where they register."""

import ast
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from imbdet import methods
from imbdet.methods import Method, Registry, options
from imbdet.methods.options import Option, make_options
from imbdet.reference.sources import read_sources

_FOLDERS = ("assigners", "learning/criteria", "losses", "samplers", "weighting")


@functools.cache
def read_registries() -> Mapping[str, Registry[Any]]:
    """The registries as importing the methods would fill them, by name."""
    registries = {
        name: Registry(registry.title, registry.kind)
        for name, registry in methods.REGISTRIES.items()
    }
    for folder in _FOLDERS:
        for text in read_sources("imbdet", f"{folder}/*.py"):
            if ".register(" in text:
                for name, method in _registrations(ast.parse(text)):
                    registries[name].add(method)
    return registries


def _registrations(module: ast.Module) -> Iterator[tuple[str, Method]]:
    """Methods, and the names of the registries that they register with."""
    for node in module.body:
        for decorator in getattr(node, "decorator_list", ()):
            match decorator:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=registry), attr="register")):
                    about = {str(word.arg): word.value for word in decorator.keywords}
                    also = about.pop("also", None)
                    kind = methods.REGISTRIES[registry].kind
                    names = ("name", "summary", "source")
                    method = kind(
                        **{n: _evaluate(v) for n, v in zip(names, decorator.args, strict=False)},
                        **{name: _evaluate(value) for name, value in about.items()},
                        options=_options(node),
                    )
                    yield registry, method
                    if isinstance(also, ast.Name):
                        yield also.id, method


def _options(node: Any) -> tuple[Option, ...]:
    """Options of a function, a dataclass or a class with a constructor."""
    docstring, declared = ast.get_docstring(node) or "", []
    if isinstance(node, ast.ClassDef):
        for statement in node.body:
            match statement:
                case ast.AnnAssign(
                    target=ast.Name(id=name), annotation=kind, value=ast.expr() as v
                ):
                    declared.append((name, kind, v))
                case ast.FunctionDef(name="__init__"):
                    return _options(statement)
    else:
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        with_default = positional[len(positional) - len(arguments.defaults) :]
        pairs = [*zip(with_default, arguments.defaults, strict=True)]
        pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        declared = [(a.arg, a.annotation, default) for a, default in pairs if default]
    return make_options(
        [(name, _evaluate(kind), _evaluate(default)) for name, kind, default in declared],
        docstring,
    )


def _evaluate(expression: ast.expr) -> Any:
    """The value of an expression; None if it needs an import, such as a type of torch."""
    code = compile(ast.Expression(expression), "<declaration>", "eval")
    try:
        return eval(code, {"math": math, **vars(options)})
    except NameError:
        return None
