"""How much of a winner's announced score is luck: `python -m benchmarks.luck --data PATH`.

Several searches, each with another seed. Beside the score that a search alone would announce and
the one that its finalists announce, the winner's score on ten fresh seeds that none of them saw.
"""

import argparse
import json
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.machine import describe_machine
from hpo.run.loop import to_run
from hpo.run.plan import Settings, plan_search
from hpo.run.session import Session, open_session, open_stack, training_events
from hpo.space import Cell
from hpo.storage.opening import quiet_optuna
from hpo.study.summary import Configuration
from hpo.study.trials import first_repeat

RESULTS = Path(__file__).parent / "results" / "luck.json"
N_FRESH = 10
SEARCH = {"trials": 20, "finalists": 5, "final_repeats": 5}
SMALL = {"image_size": "32", "epochs": "30"}


@dataclass(frozen=True)
class Announced:
    """What one search announced, and what ten fresh seeds of the same configurations say."""

    seed: int
    by_search: float
    favorite_fresh: float
    by_finalists: float
    winner_fresh: float


def main() -> None:
    """Run the searches and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--searches", type=int, default=10)
    parser.add_argument("--storage", default="sqlite:///studies/luck/hpo.db")
    asked = parser.parse_args()
    quiet_optuna()
    found = []
    for seed in range(asked.searches):
        settings = Settings(data=asked.data, set=SMALL, seed=seed, storage=asked.storage, **SEARCH)
        with open_session(plan_search([], settings)) as session:
            found.append(_announced(session, seed))
        print(found[-1], flush=True)
    of_search = [one.by_search - one.favorite_fresh for one in found]
    of_finalists = [one.by_finalists - one.winner_fresh for one in found]
    document = {
        "machine": describe_machine(),
        "searches": [asdict(one) for one in found],
        "points_too_much_by_the_search": 100 * fmean(of_search),
        "points_too_much_by_the_finalists": 100 * fmean(of_finalists),
        "points_off_by_the_finalists": 100 * fmean(map(abs, of_finalists)),
    }
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")


def _announced(session: Session, seed: int) -> Announced:
    with closing(training_events(session)) as events:
        for _ in events:
            pass
    summary = session.summary()
    assert summary.finalists
    score = session.record.score
    winner, favorite = summary.finalists.winner, summary.finalists.favorite(score)
    assert winner.fresh.mean is not None
    fresh = {
        member.number: _fresh(session, summary.numbered[member.number])
        for member in {winner, favorite}
    }
    return Announced(
        seed=seed,
        by_search=favorite.searched,
        favorite_fresh=fresh[favorite.number],
        by_finalists=winner.fresh.mean,
        winner_fresh=fresh[winner.number],
    )


def _fresh(session: Session, configuration: Configuration) -> float:
    """Return the mean score of ten repeats after those of the finalists."""
    record, goal = session.record, session.goal
    first = first_repeat(record, Cell({}, configuration.config), ordinal=0)
    begin = goal.n_repeats + goal.n_final_repeats
    jobs = [first.with_repeat(i) for i in range(begin, begin + N_FRESH)]
    with closing(open_stack(record, session.training_data, n_lanes=N_FRESH)) as stack:
        lanes = [stack.add(job.config, seed=job.seed, fold=job.fold) for job in jobs]
        while stack.lanes:
            stack.step()
        runs = [to_run(stack.result(lane)) for lane in lanes]
    scores = [record.score.of(run.kept.validation, run.stress) for run in runs]
    return fmean(score for score in scores if score is not None)


if __name__ == "__main__":
    main()
