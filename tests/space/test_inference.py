"""The space of a study whose parameters are suggested under branches is inferred from its trials."""

import pytest

from metajax.predictor import Trials
from metajax.space import Categorical, Condition, Float, Integer
from metajax.space._inference import Suggestions, infer
from metajax.types import InputError

NET, LAYERS, RATE = Categorical(("linear", "mlp", "tree")), Integer(1, 6), Float(1e-4, 1.0, log=True)


def seen(is_complete=True, **values):
    domains = {"net": NET, "layers": LAYERS, "rate": RATE}
    return Suggestions({name: domains.get(name, RATE) for name in values}, values, is_complete)


def test_a_parameter_of_every_trial_has_no_condition():
    space = infer([seen(net="mlp", rate=0.1), seen(net="tree", rate=0.2)])
    assert dict(space.domains) == {"net": NET, "rate": RATE} and not space.conditions


def test_branches_within_branches():
    """The nearest parameter that decides is the parent, and whole numbers decide by a threshold."""
    trials = [seen(net="linear", rate=0.1)]
    for layers in (1, 2, 4, 5):
        units = {"units_3": 0.5} if layers >= 3 else {}
        trials.append(seen(net="mlp", layers=layers, **units, rate=0.1))
    space = infer(trials)
    assert space.conditions == {
        "layers": Condition("layers", "net", ("mlp",)),
        "units_3": Condition("units_3", "layers", (4, 5, 6)),
    }
    below = [seen(layers=n, **({"few": 0.5} if n <= 2 else {})) for n in (2, 4)]
    assert infer(below).conditions["few"].values == (1, 2)
    middle = [seen(layers=n, **({"few": 0.5} if n == 3 else {})) for n in (2, 3, 4)]
    assert infer(middle).conditions["few"].values == (3,)


def test_a_trial_that_broke_off_does_not_say_what_does_not_exist():
    whole = [seen(net="mlp", rate=0.1), seen(net="tree", rate=0.2)]
    assert not infer([*whole, seen(is_complete=False, net="mlp")]).conditions
    assert "layers" in infer([*whole, seen(is_complete=False, net="linear", layers=2)]).domains


def test_bounds_that_move_are_joined():
    dynamic = [Suggestions({"x": Integer(1, high)}, {"x": 1}, True) for high in (3, 9, 5)]
    assert infer(dynamic).domains["x"] == Integer(1, 9)
    choices = [Suggestions({"x": Categorical(each)}, {"x": each[0]}, True) for each in (("a", "b"), ("b", "c"))]
    assert infer(choices).domains["x"] == Categorical(("a", "b", "c"))


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        ([], "at least one trial"),
        ([seen(net="mlp", rate=0.1), seen(net="mlp")], "rate is suggested in 1 of 2 trials, and no choice"),
        ([seen(rate=0.1, layers=1), seen(rate=0.2)], "layers is suggested in 1 of 2"),
        (
            [Suggestions({"x": NET}, {"x": "mlp"}, True), Suggestions({"x": RATE}, {"x": 0.1}, True)],
            "x must be of one type, got Categorical.* pass the space",
        ),
        (
            [Suggestions({"x": Float(0.0, high, grid=3)}, {"x": 0.0}, True) for high in (1.0, 2.0)],
            "in one trial and Float.* in another",
        ),
    ],
)
def test_what_cannot_be_inferred_is_refused(trials, message):
    with pytest.raises(InputError, match=message):
        infer(trials)


def test_a_study_needs_no_space():
    """Whatever is drawn, the trials are configurations of the space that they are read into."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def train(trial):
        net = trial.suggest_categorical("net", ["linear", "mlp", "tree"])
        rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
        total = rate + trial.suggest_float("share", 0.0, 1.0, step=0.25)
        if net == "mlp":
            layers = trial.suggest_int("layers", 1, 3)
            total += sum(trial.suggest_int(f"units_{i}", 8, 64, log=True) for i in range(layers))
        if net == "tree":
            total += trial.suggest_int("depth", 2, 10, step=2)
        if trial.number % 9 == 4:
            raise ValueError
        return total

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(train, n_trials=60, catch=(ValueError,))
    study.enqueue_trial({"net": "mlp"})
    broken = study.ask()
    broken.suggest_categorical("net", ["linear", "mlp", "tree"])
    study.tell(broken, state=optuna.trial.TrialState.FAIL)  # before the other parameters
    trials = Trials.from_optuna(study)
    assert trials.space.conditions["units_1"] == Condition("units_1", "layers", (2, 3))
    assert trials.space.conditions["depth"].values == ("tree",) and trials.space.domains["share"] == Float(
        0.0, 1.0, grid=5
    )
    assert trials.configs() == [pytest.approx(trial.params) for trial in study.trials[:-1]]
    assert Trials.from_optuna(study, space=trials.space).configs() == trials.configs()
