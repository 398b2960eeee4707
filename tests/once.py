"""Work that every command repeats, cached for processes that run many commands."""

import functools

import typer.main
from alembic.script import ScriptDirectory
from optuna.storages._rdb.storage import _VersionManager

_load, _loaded = _VersionManager._create_alembic_script, []


def _load_once(manager: _VersionManager) -> ScriptDirectory:
    """Load Optuna's ten migrations, which are needed whenever a database is opened."""
    if not _loaded:
        _loaded.append(_load(manager))
    return _loaded[0]


_VersionManager._create_alembic_script = _load_once  # type: ignore[method-assign]
# Making commands from the signatures of functions takes a fifth of the time of `hpo show`.
typer.main.get_command = functools.cache(typer.main.get_command)
