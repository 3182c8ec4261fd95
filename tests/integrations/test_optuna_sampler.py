"""MetaLearnerSampler by Optuna's own tests of samplers, and by what it promises beyond them."""

import importlib.util
import math
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from metajax.types import InputError

optuna = pytest.importorskip("optuna")
pytest_samplers = pytest.importorskip("optuna.testing.pytest_samplers")
from metajax.integrations import _quick_proposals  # noqa: E402
from metajax.integrations.optuna import MetaLearnerSampler  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.WARNING)


class TestByOptuna(
    pytest_samplers.BasicSamplerTestCase,
    pytest_samplers.RelativeSamplerTestCase,
    pytest_samplers.MultiObjectiveSamplerTestCase,
):
    @pytest.fixture
    def sampler(self):
        return lambda: MetaLearnerSampler(seed=0, n_startup_trials=4)


def branches(trial):
    """The best is a deep network of width 32 at a rate of 0.01."""
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    loss = abs(math.log10(rate) + 2)
    if trial.suggest_categorical("net", ["linear", "deep"]) == "deep":
        layers = trial.suggest_int("layers", 1, 3)
        return (
            loss + sum(abs(math.log2(trial.suggest_int(f"units_{i}", 8, 128, log=True)) - 5) for i in range(layers)) / 3
        )
    return loss + 1.5


def optimized(sampler, trials, objective=branches, **options):
    study = optuna.create_study(sampler=sampler, **options)
    study.optimize(objective, n_trials=trials)
    return study


def test_it_is_better_than_chance_under_branches():
    ours = optimized(MetaLearnerSampler(seed=0), 30).best_value
    chance = np.mean([optimized(optuna.samplers.RandomSampler(seed=seed), 30).best_value for seed in range(10)])
    assert ours < 0.6 * chance


def test_earlier_studies_make_the_first_trials_good():
    sources = [optimized(optuna.samplers.RandomSampler(seed=seed), 60) for seed in range(3)]
    first = [optimized(MetaLearnerSampler(sources, seed=seed), 3).best_value for seed in range(3)]
    chance = [optimized(optuna.samplers.RandomSampler(seed=10 + seed), 3).best_value for seed in range(10)]
    assert np.mean(first) < 0.5 * np.mean(chance)
    shifted = lambda trial: branches(trial) + 10 * trial.suggest_float("new", 0.0, 1.0)
    assert optimized(MetaLearnerSampler(sources, seed=0), 20, shifted).best_params["new"] < 0.4


def test_constraints_pruned_failed_and_running_trials():
    def objective(trial):
        x = trial.suggest_float("x", 0.0, 1.0)
        trial.set_user_attr("over", x - 0.5)
        if x < 0.1:
            raise ValueError
        if x < 0.3:
            trial.report(x, 0)
            raise optuna.TrialPruned
        return x

    sampler = MetaLearnerSampler(seed=0, constraints_func=lambda trial: [trial.user_attrs.get("over", 1.0)])
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=30, catch=(ValueError,))
    feasible = [
        trial.value for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)) if trial.value <= 0.5
    ]
    assert max(feasible) > 0.45, "the largest value that violates nothing"
    waiting = [study.ask() for _ in range(4)]
    values = sorted(trial.suggest_float("x", 0.0, 1.0) for trial in waiting)
    assert np.diff(values).min() > 1e-5, "parallel trials stay apart"


def test_several_objectives():
    def objective(trial):
        x, y = trial.suggest_float("x", 0.0, 1.0), trial.suggest_float("y", 0.0, 1.0)
        return x**2 + y, (x - 1) ** 2 + y

    count = lambda study: sum(trial.params["y"] < 0.1 for trial in study.best_trials)
    study = optimized(MetaLearnerSampler(seed=0), 40, objective, directions=["minimize", "minimize"])
    chance = optimized(optuna.samplers.RandomSampler(seed=0), 40, objective, directions=["minimize", "minimize"])
    assert count(study) > count(chance) + 3


def test_programs_do_not_grow_with_the_trials_and_are_shared_by_spaces():
    """A model is compiled for each power of two of the trials, whatever is asked between, and for no space of its own."""
    program = _quick_proposals._scoring_program(0)
    square = lambda trial: trial.suggest_float("x", 0.0, 1.0) ** 2
    study = optimized(MetaLearnerSampler(seed=1), 30, square)
    before = program._cache_size()
    study.optimize(square, n_trials=20)
    assert program._cache_size() == before
    study.optimize(square, n_trials=30)  # more than 64
    assert program._cache_size() == before + 1
    optimized(MetaLearnerSampler(seed=1), 15, lambda trial: square(trial) + trial.suggest_int("y", 0, 3))
    assert program._cache_size() == before + 1


def test_a_seed_makes_a_study_repeatable():
    studies = [optimized(MetaLearnerSampler(seed=3), 16) for _ in range(2)]
    assert studies[0].trials_dataframe()["value"].tolist() == studies[1].trials_dataframe()["value"].tolist()


@pytest.mark.parametrize("n", [0, True, 2.5])
def test_wrong_arguments(n):
    with pytest.raises(InputError, match="n_startup_trials must be an integer >= 1"):
        MetaLearnerSampler(n_startup_trials=n)
    empty = optuna.create_study()
    with pytest.raises(InputError, match="sources must have a complete trial"):
        MetaLearnerSampler([empty])
    with pytest.raises(InputError, match=r"sources must have one objective, but .* has 2"):
        MetaLearnerSampler([optuna.create_study(directions=["minimize", "maximize"])])


def test_the_folder_for_optunahub_is_complete(monkeypatch, capsys):
    """Its example runs with the module as OptunaHub loads it, and its card has the fields that OptunaHub asks for."""
    folder = Path(__file__).parents[2] / "experiments" / "optunahub" / "meta_learner"
    card = (folder / "README.md").read_text().split("---\n")[1]
    fields = dict(line.split(": ", 1) for line in card.splitlines())
    assert fields.keys() == {"author", "title", "description", "tags", "optuna_versions", "license"}
    assert "sampler" in fields["tags"] and (folder / "LICENSE").is_file()
    spec = importlib.util.spec_from_file_location("meta_learner", folder / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "optunahub", SimpleNamespace(load_module=lambda package: module))
    runpy.run_path(str(folder / "example.py"))
    assert "'x'" in capsys.readouterr().out
