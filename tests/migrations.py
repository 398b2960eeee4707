"""Optuna loads its ten migrations at each opening of a database; where this is imported, once."""

from alembic.script import ScriptDirectory
from optuna.storages._rdb.storage import _VersionManager

_load, _loaded = _VersionManager._create_alembic_script, []


def _load_once(manager: _VersionManager) -> ScriptDirectory:
    if not _loaded:
        _loaded.append(_load(manager))
    return _loaded[0]


_VersionManager._create_alembic_script = _load_once  # type: ignore[method-assign]
