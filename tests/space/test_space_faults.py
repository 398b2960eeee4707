"""Each fault of a space file, by the sentence that tells it."""

from collections.abc import Callable

import pytest

from hpo.space import Space

SpaceFrom = Callable[[str], Space]
FaultsOf = Callable[[str], list[str]]

BATCH_SIZE = "takes a whole number from 2 to 65536"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("batch_size = 3", "batch_size = 3 is no table of a space file: put batch_size under"),
        ("[basis]\nepochs = 3", "[basis] is no table of a space file: did you mean base?"),
        ("base = 3", "base takes a table, written [base], but got 3"),
        (
            "[base]\nbatch_siz = 3",
            "base: Unknown hyperparameter 'batch_siz'. Did you mean batch_size?",
        ),
        ("[base]\nbatch_size = '3'", f'base: batch_size {BATCH_SIZE}, but got "3"'),
        ("[base]\nbatch_size = 1", f"base: batch_size {BATCH_SIZE}, but got 1"),
        ("[base]\nbatch_size = true", f"base: batch_size {BATCH_SIZE}, but got true"),
        ("[base]\nbatch_size = 2.5", f"base: batch_size {BATCH_SIZE}, but got 2.5"),
        ("[base]\nbatch_size = [32]", f"base: batch_size {BATCH_SIZE}, but got [32]"),
        ("[base]\nbatch_norm = 1", "base: batch_norm takes true or false, but got 1"),
        ("[base]\ndropout = nan", "but got nan"),
        ("[base]\ndropout = 2020-01-01", "but got 2020-01-01"),
        (
            "[base]\nloss = 'bcee'",
            "base: loss takes one of bce, ce, focal, l1, mse, smooth_l1, bu",
        ),
        ("[base]\nlayers = 0", "base: layers takes a whole number from 1 to 8, but got 0"),
        ("[base]\nhidden = [8]\nwidth = 3", "base: hidden and width both write the hidden layers"),
        ("[base]\ndropout = [0.1, 0.2]", "base: dropout = [0.1, 0.2] has 2 values for 3 hidden"),
        ("[base]\nmilestones = [9, 3]", "base: milestones = [9, 3] must rise"),
    ],
)
def test_a_fault_outside_of_sweeps_and_search(faults_of: FaultsOf, text: str, fault: str) -> None:
    [found] = faults_of(text)
    assert fault in found


@pytest.mark.parametrize(
    ("sweep", "fault"),
    [
        ("epoch = [3]", "sweep: Unknown hyperparameter 'epoch'. Did you mean epochs?"),
        ("epochs = []", "sweep.epochs is empty: list the values to compare"),
        ("epochs = 3", "sweep.epochs takes a list of values, or a table with values, but got 3"),
        ("epochs = {}", "sweep.epochs takes a list of values, or a table with values, but got no"),
        ("epochs = [3, 4, 3]", "sweep.epochs holds 3 twice"),
        ("epochs = [3, 3.0]", "sweep.epochs holds 3 twice"),
        ("epochs = [3, 'x']", "sweep.epochs, value 2: takes a whole number from 1 to 10000, but "),
        ("hidden = [64, 64]", "sweep.hidden holds 64 twice; one value is itself a list"),
        ("hidden = { values = [[2]], sets = {} }", "sweep.hidden: sets is no key of a sweep: did"),
        ("hidden = { values = [[2]], set = 3 }", "sweep.hidden.set takes a table of hyperparam"),
        (
            "hidden = { values = [[2]], set = { epohs = 3 } }",
            "sweep.hidden.set: Unknown hyperparam",
        ),
        ("hidden = { values = [[2]], set = { epochs = 0 } }", "sweep.hidden.set: epochs takes a "),
        ("hidden = { values = [[2]], set = { width = 3 } }", "sweep.hidden.set: width is what th"),
        ("hidden = [{ dropout = 0.1 }]", "sweep.hidden, value 1: must set hidden itself"),
        (
            "hidden = [{ hidden = [4], drop = 1 }]",
            "sweep.hidden, value 1: Unknown hyperp",
        ),
        ("dropout = [[0.1, 0.2]]", "sweep.dropout, value 0.1-0.2: dropout = [0.1, 0.2] has 2 va"),
    ],
)
def test_a_fault_of_a_sweep(faults_of: FaultsOf, sweep: str, fault: str) -> None:
    [found] = faults_of(f"[sweep]\n{sweep}\n")
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("search", "fault"),
    [
        (
            "gama = { low = 1, high = 2 }",
            "search: Unknown hyperparameter 'gama'. Did you mean gamma?",
        ),
        (
            "gamma = 0.1",
            "search.gamma takes a table with low and high, or with choices, but got 0",
        ),
        ("gamma = {}", "search.gamma says nothing to search: give low and high, or choices"),
        ("gamma = { low = 0.1 }", "search.gamma.high is missing"),
        (
            "gamma = { low = 0.1, high = 1, hihg = 1 }",
            "search.gamma: hihg is no key of it: did yo",
        ),
        ("gamma = { low = 'a', high = 1 }", "search.gamma.low takes a number above 0 to 1, but g"),
        ("gamma = { low = 0.1, high = 2 }", "search.gamma.high takes a number above 0 to 1, but"),
        ("gamma = { low = 0.9, high = 0.1 }", "search.gamma: low <= high must hold, but got low"),
        ("gamma = { low = 0.1, high = 1, log = 1 }", "search.gamma.log takes true or false, but"),
        ("gamma = { low = 0.1, high = 1, step = 2 }", "search.gamma.step is for whole numbers on"),
        ("gamma = { low = 0.1, high = 1, choices = [1] }", "search.gamma: choices and low, high "),
        ("dropout = { low = [0.1], high = 0.5 }", "search.dropout.low takes one number, but got"),
        ("weight_decay = { low = 0, high = 1, log = true }", "search.weight_decay: log = true ta"),
        ("early_stopping = { low = 0, high = 9, log = true }", "search.early_stopping: log = tru"),
        ("epochs = { low = 1, high = 9, step = 0 }", "search.epochs.step takes a whole number fr"),
        (
            "epochs = { low = 1, high = 9, step = 3 }",
            "search.epochs: high = 9 is not reached from",
        ),
        ("epochs = { low = 1, high = 9, step = 2, log = true }", "search.epochs: log = true and "),
        ("loss = { low = 1, high = 3 }", "search.loss takes one of bce, ce, focal, l1, mse, smoo"),
        ("batch_norm = { low = 0, high = 1 }", "search.batch_norm takes true or false: write cho"),
        ("hidden = { low = 1, high = 3 }", "search.hidden takes a list of 1 to 8 whole numbers f"),
        ("loss = { choices = [] }", "search.loss.choices takes a list of values, but got []"),
        ("loss = { choices = 'ce' }", 'search.loss.choices takes a list of values, but got "ce"'),
        ("loss = { choices = ['bce', 'cee'] }", "search.loss.choices takes one of bce, ce, focal"),
        ("loss = { choices = ['bce', 'bce'] }", "search.loss.choices holds bce twice"),
        ("milestones = { choices = [[9, 3]] }", "search.milestones.choices: milestones = [9, 3] "),
    ],
)
def test_a_fault_of_a_range(faults_of: FaultsOf, search: str, fault: str) -> None:
    [found] = faults_of(f"[search]\n{search}\n")
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("when", "fault"),
    [
        ("'step'", "search.power.when takes a table, as in when = { scheduler ="),
        ("{ schduler = 'step' }", "search.power.when: schduler is no searched parameter: did you"),
        ("{ loss = 'ce' }", "search.power.when: loss is not searched: add it to [search]"),
        ("{ scheduler = 'step' }", "search.power.when.scheduler takes one of none, polynomial, b"),
        ("{ scheduler = 'stp' }", "search.power.when.scheduler takes one of none, cosine, step,"),
        ("{ scheduler = [] }", "search.power.when.scheduler is empty: no value meets it"),
        ("{ layers = 4 }", "search.power.when.layers takes a whole number from 1 to 3, but got 4"),
        ("{ power = 1 }", "search: conditions run in a circle (power -> power)"),
        ("{ gamma = 0.5 }", "search: conditions run in a circle (gamma -> power -> gamma)"),
    ],
)
def test_a_fault_of_a_condition(faults_of: FaultsOf, when: str, fault: str) -> None:
    [found] = faults_of(f"""
        [search]
        scheduler = {{ choices = ["none", "polynomial"] }}
        layers = {{ low = 1, high = 3 }}
        gamma = {{ low = 0.1, high = 1, when = {{ power = 1 }} }}
        power = {{ low = 1, high = 2, when = {when} }}
    """)
    assert found.startswith(fault)


def test_both_forms_of_the_hidden_layers_are_a_fault_of_a_search(faults_of: FaultsOf) -> None:
    search = "hidden = { choices = [[8]] }\nlayers = { low = 1, high = 2 }"
    [found] = faults_of(f"[search]\n{search}\n")
    assert found == "search: hidden and layers both write the hidden layers: keep one form"


def test_layers_without_one_width_are_a_fault(faults_of: FaultsOf) -> None:
    search = "[base]\nhidden = [8, 9]\n[search]\nlayers = { low = 1, high = 2 }"
    [found] = faults_of(search)
    assert found.startswith("search.layers needs one width, but base.hidden = [8, 9]")


def test_all_faults_come_in_one_message(faults_of: FaultsOf) -> None:
    found = faults_of("""
        [base]
        epochs = 0
        loss = "bcee"
        [sweep]
        batch_size = []
        [search]
        learning_rate = { low = 0, high = 1, log = true }
        gamma = { low = 0.9, high = 0.1 }
        width = { low = 0, high = 3, when = { colour = "red" } }
    """)
    places = ["base: epochs", "base: loss", "sweep.batch_size", "search.width.low"]
    places += ["search.learning_rate.low", "search.gamma", "search.width.when"]
    assert len(found) == len(places)
    for place in places:
        assert [fault for fault in found if fault.startswith(place)], place


def test_a_long_value_is_cut_in_the_message(faults_of: FaultsOf) -> None:
    [found] = faults_of(f"[base]\nloss = '{'x' * 1500}'\n")
    assert len(found) < 450


def test_a_range_of_one_value_is_allowed(space_from: SpaceFrom) -> None:
    [parameter] = space_from("[search]\nepochs = { low = 3, high = 3 }").search
    assert parameter.domain.contains(3)
