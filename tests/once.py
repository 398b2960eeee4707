"""What every command does anew, done once in a process that runs many: where this is imported."""

import functools

import typer.main
from alembic.script import ScriptDirectory
from optuna.storages._rdb.storage import _VersionManager

_load, _loaded = _VersionManager._create_alembic_script, []


def _load_once(manager: _VersionManager) -> ScriptDirectory:
    """Load Optuna's ten migrations, which each opening of a database asks for."""
    if not _loaded:
        _loaded.append(_load(manager))
    return _loaded[0]


_VersionManager._create_alembic_script = _load_once  # type: ignore[method-assign]
# The commands are made of the signatures of their functions: a fifth of the time of `hpo show`.
typer.main.get_command = functools.cache(typer.main.get_command)
