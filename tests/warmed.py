"""Work that every command does once, done before the processes of the tests are forked."""

import tempfile
from pathlib import Path

import optuna

from hpo.report import page
from hpo.storage.opening import open_storage
from tests import once

with tempfile.TemporaryDirectory() as folder:
    storage = open_storage(f"sqlite:///{Path(folder)}/{once.__name__}.db")
    study = optuna.create_study(storage=storage)
    study.tell(study.ask(), 0.5)
    study.get_trials()
    storage.scoped_session.remove()
    storage.engine.dispose()

for name in ("page.html", "comparison.html"):
    page._templates().get_template(name)
