"""The part of a winner's announced score that is luck: `python -m benchmarks.luck --data PATH`.

Several default searches, each with another seed. The scores announced by the search alone and by
its finalists are compared with the scores of ten more trainings with new seeds, whose results on
the sealed test are also recorded: their mean and their ensemble. A search that is in the file of
results is not run again; other options need another --result.
"""

import argparse
import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.machine import describe_machine
from hpo.data.dataset import PNEUMONIA, TEST
from hpo.run.plan import Settings, plan_search
from hpo.run.session import Session, open_session, open_stack, training_events
from hpo.space import Cell
from hpo.storage.opening import quiet_optuna
from hpo.study.summary import Configuration
from hpo.study.trials import first_repeat
from hpo.training.engine import Run

RESULTS = Path(__file__).parent / "results" / "luck_of_defaults.json"
N_FRESH = 10
SMALL = {"image_size": "32", "epochs": "30"}


@dataclass(frozen=True)
class Announced:
    """The announcement of one search, and the scores of ten more trainings of each."""

    seed: int
    seconds: float
    by_search: float
    favorite_fresh: float
    by_finalists: float
    winner_fresh: float
    test_accuracy: float
    test_auroc: float
    test_accuracy_of_ensemble: float


def main() -> None:
    """Run the searches and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--searches", type=int, default=10)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--small", action="store_true", help="32 pixels and 30 epochs throughout")
    parser.add_argument("--storage", default="sqlite:///studies/luck/hpo.db")
    parser.add_argument("--result", type=Path, default=RESULTS)
    asked = parser.parse_args()
    quiet_optuna()
    found = _read(asked.result)
    for seed in range(asked.searches):
        if seed in (one.seed for one in found):
            continue
        settings = Settings(
            data=asked.data,
            trials=asked.trials,
            set=SMALL if asked.small else {},
            seed=seed,
            storage=asked.storage,
        )
        with open_session(plan_search([], settings)) as session:
            found.append(_announced(session, seed))
        print(found[-1], flush=True)
        _write(asked, found)


def _read(path: Path) -> list[Announced]:
    if not path.exists():
        return []
    return [Announced(**one) for one in json.loads(path.read_text())["searches"]]


def _write(asked: argparse.Namespace, found: list[Announced]) -> None:
    of_search = [one.by_search - one.favorite_fresh for one in found]
    of_finalists = [one.by_finalists - one.winner_fresh for one in found]
    document = {
        "what": __doc__,
        "machine": describe_machine(),
        "n_trials": asked.trials,
        "set": SMALL if asked.small else {},
        "searches": [asdict(one) for one in found],
        "points_too_much_by_the_search": 100 * fmean(of_search),
        "points_too_much_by_the_finalists": 100 * fmean(of_finalists),
        "points_off_by_the_finalists": 100 * fmean(map(abs, of_finalists)),
        "test_accuracy": fmean(one.test_accuracy for one in found),
    }
    asked.result.write_text(json.dumps(document, indent=1) + "\n")


def _announced(session: Session, seed: int) -> Announced:
    start = time.perf_counter()
    with closing(training_events(session)) as events:
        for _ in events:
            pass
    seconds = time.perf_counter() - start
    summary = session.summary()
    assert summary.finalists
    score = session.record.score
    winner, favorite = summary.finalists.winner, summary.finalists.favorite(score)
    assert favorite.searched is not None
    assert winner.fresh is not None
    assert winner.fresh.mean is not None
    of_winner = _fresh(session, winner)
    of_favorite = of_winner if favorite is winner else _fresh(session, favorite)
    dataset = session.plan.dataset
    labels = dataset.labels[dataset.where(TEST)] == PNEUMONIA
    answers = np.array([run.test_probabilities for run in of_winner])
    return Announced(
        seed=seed,
        seconds=seconds,
        by_search=favorite.searched,
        favorite_fresh=_mean_score(session, of_favorite),
        by_finalists=winner.fresh.mean,
        winner_fresh=_mean_score(session, of_winner),
        test_accuracy=float(((answers > 0.5) == labels).mean()),
        test_auroc=fmean(roc_auc_score(labels, one) for one in answers),
        test_accuracy_of_ensemble=float(((answers.mean(0) > 0.5) == labels).mean()),
    )


def _fresh(session: Session, configuration: Configuration) -> list[Run]:
    """Train ten repeats after those of the finalists."""
    record, goal = session.record, session.goal
    first = first_repeat(record, Cell({}, configuration.config), ordinal=0)
    begin = goal.n_repeats + goal.n_final_repeats
    jobs = [first.with_repeat(i) for i in range(begin, begin + N_FRESH)]
    with closing(open_stack(record, session.training_data, n_lanes=N_FRESH)) as stack:
        lanes = [stack.add(job.config, seed=job.seed, fold=job.fold) for job in jobs]
        while stack.lanes:
            stack.step()
        return [stack.result(lane).run for lane in lanes]


def _mean_score(session: Session, runs: list[Run]) -> float:
    score = session.record.score
    scores = [score.of(run.kept.validation, run.stress) for run in runs]
    return fmean(one for one in scores if one is not None)


if __name__ == "__main__":
    main()
