"""Custom networks: a function in a file, whose signature declares its hyperparameters.

    def cnn(*, n_outputs: int, channels: Literal[16, 32, 64] = 32) -> nn.Module:

hpo supplies `n_outputs` and, if the signature has them, `image_size` and `seed`. The file is code:
it runs only if the command line or a space file names it, never because a database does.
"""

import ast
import contextlib
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import ValidationError

from hpo.config import (
    GRADIENT_FIELDS,
    MLP_FIELDS,
    CustomModel,
    Declared,
    TrainingConfig,
    did_you_mean,
    faults,
)
from hpo.errors import HpoError, ModelError, fault_list
from hpo.files import at_home

_GIVEN: Final = ("image_size", "n_outputs", "seed")
_KINDS: Final[Mapping[type, Any]] = {bool: "bool", int: "int", float: "float", str: "str"}
_LIKE: Final = (
    "Write it like channels: int = 32, Literal[16, 32, 64] or Annotated[int, Range(1, 8)]."
)
_LONGEST: Final = 300
_LIBRARIES: Final = {"hpo", *sys.stdlib_module_names}
"""Modules that are never the user's own, in any folder."""

_IMPORTING: Final = set[str]()
"""The files that this process is importing now."""


class Range(NamedTuple):
    """The bounds of a hyperparameter, both included: `depth: Annotated[int, Range(1, 8)] = 3`.

    With `log`, a search samples its logarithm.
    """

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Estimator:
    """A scikit-learn estimator as a model, see `estimator`."""

    make: Callable[..., Any]
    settings: Mapping[str, Any]

    @property
    def kind(self) -> Literal["estimator", "incremental"]:
        """Whether it learns batch by batch."""
        return "incremental" if hasattr(self.make, "partial_fit") else "estimator"

    def __call__(self, *, seed: int, **params: Any) -> Any:
        fixed = {n: v for n, v in self.settings.items() if not isinstance(v, Range | list | tuple)}
        if "random_state" in inspect.signature(self.make).parameters:
            fixed |= {"random_state": seed % 2**32}
        return self.make(**(fixed | params))


def estimator(make: Callable[..., Any], **settings: Any) -> Estimator:
    """Return a model for a scikit-learn classifier: `forest = estimator(RandomForestClassifier)`.

    Its hyperparameters are those of its signature. `settings` fix some, or define the search: a
    list of choices or a Range.
    """
    return Estimator(make, settings)


def entry_of(model: str | Callable[..., Any]) -> str:
    """Return FILE.py:NAME of a function, or an unchanged text.

    Raises:
        ModelError: it is not in a file, or has no name there.
    """
    if isinstance(model, str):
        return model
    name, file = getattr(model, "__qualname__", ""), None
    with contextlib.suppress(TypeError):
        file = inspect.getsourcefile(model)
    if not file or not Path(file).is_file() or not name.isidentifier():
        raise ModelError(
            f"model must be a function in a file, with a name there, but is {model!r}. Write it "
            'to a file and give its name: model="FILE.py:NAME".'
        )
    return f"{file}:{name}"


def open_custom(entry: str, *, folder: Path | None = None) -> tuple[CustomModel, str]:
    """Run the file of FILE.py:NAME; return its declaration, and the entry with its folder.

    `folder` contains FILE; None is the working folder.

    Raises:
        ModelError: there is no such file or name, it raises, or its signature is invalid.
    """
    file, sign, name = entry.rpartition(":")
    if not sign or not file.endswith(".py") or not name.isidentifier():
        raise ModelError(f"A model must be FILE.py:NAME, but got {entry[:100]!r}.")
    path = ((folder or Path()) / at_home(file)).absolute()
    if not path.is_file():
        raise ModelError(f"There is no file {path}. A model must be FILE.py:NAME.")
    code = f"{path}:{name}"
    _load.cache_clear()  # The file may have changed.
    make, digest = _load(code)
    is_estimator = isinstance(make, Estimator)
    names = () if is_estimator else inspect.signature(make).parameters
    try:
        declared, wrong = _of_estimator(make) if is_estimator else _of_function(make, code)
        if wrong:
            raise ModelError(fault_list(f"The signature of {name} in {path} is invalid:", wrong))
        packages = packages_distributions()
        others = {other for module in _sources(path)[1] for other in packages.get(module, ())}
        model = CustomModel(
            entry=f"{path.name}:{name}",
            digest=digest,
            versions={other: version(other) for other in sorted(others)},
            kind=make.kind if is_estimator else "network",
            given=("seed",) if is_estimator else tuple(n for n in _GIVEN if n in names),
            signature=tuple(declared),
        )
    except ValidationError as error:
        raise ModelError(
            fault_list(f"The defaults of {name} in {path} are invalid:", faults(error))
        ) from None
    return model, code


def build(config: TrainingConfig, code: str | None, *, seed: int) -> Any:
    """Return the result of the user's function for a configuration: a network, unchecked.

    Raises:
        ModelError: the file is not named, has changed, or raises.
    """
    model = config.model
    assert model
    if code is None:
        raise ModelError(f"{model.entry} is your code. Name it with --model FILE.py:NAME.")
    make, digest = _load(code)
    if digest != model.digest:
        raise ModelError(f"{code} has changed: its digest is {digest}, not {model.digest}.")
    supplied = {"image_size": config.image_size, "n_outputs": config.n_outputs, "seed": seed}
    arguments = {name: supplied[name] for name in model.given} | model.params
    values = ", ".join(f"{n} = {v!r}" for n, v in model.params.items()) or "its defaults"
    with user_code(f"{model.entry} failed with {values}:", code):
        return make(**arguments)


def differences(recorded: CustomModel, found: CustomModel) -> list[str]:
    """Describe how a model differs from the recorded one; the folder is ignored."""
    pairs: dict[str, tuple[object, object]] = {
        "name": (recorded.entry, found.entry),
        "digest": (recorded.digest, found.digest),
    }
    for name in sorted({*recorded.versions, *found.versions}):
        pairs[f"version of {name}"] = recorded.versions.get(name), found.versions.get(name)
    return [
        f"Its {part} was {old}, now {new}." for part, (old, new) in pairs.items() if old != new
    ]


@contextlib.contextmanager
def user_code(summary: str, code: str) -> Iterator[None]:
    """Run user code, which finds the modules next to it after all libraries.

    Its output goes to standard error.

    Raises:
        ModelError: three lines: the failed step, the line of the file, and the reason.
    """
    folder = str(Path(code.rpartition(":")[0]).parent)
    sys.path.append(folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except HpoError:
        raise
    except (Exception, SystemExit) as error:
        message, where = str(error), []
        for f in traceback.extract_tb(error.__traceback__):
            if f.filename.startswith(folder) and "site-packages" not in f.filename:
                where = [f"{Path(f.filename).name}, line {f.lineno}: {f.line}"]
        if isinstance(error, SyntaxError):
            where, message = [f"{Path(error.filename or '').name}, line {error.lineno}"], error.msg
        if "to have 3 channels" in message:
            message += ". Images have one channel: start with x.expand(-1, 3, -1, -1)"
        reason = " ".join(f"{type(error).__name__}: {message}".split())
        raise ModelError(fault_list(summary, [*where, reason[:_LONGEST]])) from error
    finally:
        sys.path.remove(folder)


@cache
def _load(code: str) -> tuple[Any, str]:
    """Import a file, once per process; return its function and the digest of its sources."""
    file, _, name = code.rpartition(":")
    path, digest = Path(file), hashlib.sha256()
    for source, place in sorted(_sources(path)[0].items()):
        digest.update(f"{place.as_posix()}\0".encode() + source.read_bytes() + b"\0")
        top = place.parts[0].removesuffix(".py")
        loaded = getattr(sys.modules.get(top), "__file__", None)
        # Import the module again, because it may have changed.
        if loaded and top not in _LIBRARIES and not _is_installed(loaded):
            del sys.modules[top]
    spec = importlib.util.spec_from_file_location(f"hpo_model_{path.stem}", path)
    assert spec
    assert spec.loader
    if file in _IMPORTING:
        raise ModelError(
            f"{path} calls hpo while it is imported, which every training process does. Put the "
            'call under if __name__ == "__main__":'
        )
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    _IMPORTING.add(file)
    try:
        with user_code(f"{path} cannot be imported:", code):
            spec.loader.exec_module(module)
    finally:
        _IMPORTING.remove(file)
    function = getattr(module, name, None)
    if not callable(function):
        own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == spec.name]
        hint = did_you_mean(name, own) or f"It has {', '.join(own) or 'no function'}."
        raise ModelError(f"{path} has no function {name}. {hint}")
    return function, digest.hexdigest()[:32]


def _sources(path: Path) -> tuple[dict[Path, Path], set[str]]:
    """Return the files of the user's own modules, and the names of all other imports.

    Own modules are next to the file, on PYTHONPATH, or installed as editable. Each file has
    its path relative to the folder of the file or of the module.
    """
    own, outside, remaining = dict[Path, Path](), set[str](), [(path, path.parent)]
    while remaining:
        source, home = remaining.pop()
        if source in own:
            continue
        own[source] = source.relative_to(home)
        with user_code(f"{source} cannot be read:", f"{path}:"):
            tree = ast.parse(source.read_bytes(), str(source))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names}:
                inside = _files_of(top, path.parent) or _files_elsewhere(top)
                remaining += inside
                if not inside:
                    outside.add(top)
    return own, outside - _LIBRARIES


def _files_of(top: str, home: Path) -> list[tuple[Path, Path]]:
    """Return the files of a module or package in a folder, each with the folder."""
    files = [home / f"{top}.py", *sorted((home / top).rglob("*.py"))]
    return [(file, home) for file in files if file.is_file()]


def _files_elsewhere(top: str) -> list[tuple[Path, Path]]:
    """Return the files of a module that is on the path but not an installed library."""
    spec = None
    if top not in _LIBRARIES:
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(top)
    places = [*(spec.submodule_search_locations or [spec.origin or ""])] if spec else []
    places = [place for place in places if place and not _is_installed(place)]
    return [file for place in places for file in _files_of(top, Path(place).parent)]


def _is_installed(place: str) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(place).parts)


def _of_function(function: Callable[..., Any], code: str) -> tuple[list[Declared], list[str]]:
    """Return the declarations of a signature, and a sentence for each invalid parameter."""
    with user_code(f"The annotations of {code} cannot be read:", code):
        holder = vars(function)["__init__"] if isinstance(function, type) else function
        hints = get_type_hints(holder, include_extras=True)
    valid, wrong = [], []
    for n, parameter in inspect.signature(function).parameters.items():
        kind, default = parameter.kind, parameter.default
        if n in _GIVEN:
            continue
        if kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            wrong.append(f"{parameter} is not supported. Name each hyperparameter.")
        elif n in TrainingConfig.model_fields and n not in MLP_FIELDS:
            wrong.append(f"{n} is a hyperparameter of hpo itself. Choose another name.")
        elif n not in hints:
            wrong.append(f"{n} has no annotation. {_LIKE}")
        elif default is parameter.empty:
            wrong.append(f"{n} has no default, and hpo does not supply it. {_LIKE}")
        elif declared := _declared(n, hints[n], default):
            valid.append(declared)
        else:
            text = inspect.formatannotation(hints[n])
            wrong.append(f"{n}: {text} = {default!r} cannot be used. {_LIKE}")
    return valid, wrong


def _declared(name: str, annotation: Any, default: Any) -> Declared | None:
    kind: dict[str, Any] = {}
    if get_origin(annotation) is Annotated:
        annotation, *notes = get_args(annotation)
        for note in notes:
            if isinstance(note, Range):
                kind = note._asdict()
    if get_origin(annotation) is Literal:
        kind["choices"] = choices = get_args(annotation)
        annotation = type(choices[0]) if len(set(map(type, choices))) == 1 else object
    if annotation not in _KINDS or type(default) not in _KINDS:
        return None
    if annotation is float:
        default = float(default)
    return Declared(name=name, kind=_KINDS[annotation], default=default, **kind)


def _of_estimator(model: Estimator) -> tuple[list[Declared], list[str]]:
    """Return the declarations of an estimator, and a sentence for each unknown setting.

    Scikit-learn has no annotations: a default determines the type, and None allows any.
    """
    parameters, declared = inspect.signature(model.make).parameters, []
    for n, parameter in parameters.items():
        setting, default = model.settings.get(n), parameter.default
        is_open = n not in model.settings or isinstance(setting, Range | list | tuple)
        # A parameter with the same name as an active field keeps its default.
        is_field = n in TrainingConfig.model_fields and n not in GRADIENT_FIELDS
        if not is_open or is_field or n == "random_state":
            continue
        kind: dict[str, Any] = {}
        if isinstance(setting, Range):
            kind, default = setting._asdict(), setting.low if default is None else default
        elif setting:
            kind["choices"] = tuple(setting)
            default = default if default in setting else setting[0]
        type_name = _KINDS.get(type(default), "any")
        value = default if type_name != "any" else None
        declared.append(Declared(name=n, kind=type_name, default=value, **kind))
    unknown = [f"It has no parameter {n}." for n in model.settings if n not in parameters]
    return declared, unknown
