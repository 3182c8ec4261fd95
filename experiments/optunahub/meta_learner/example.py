"""Ten trials after an earlier study."""

import optuna
import optunahub


def objective(trial: optuna.Trial) -> float:
    """A parabola."""
    return (trial.suggest_float("x", -5.0, 5.0) - 1.0) ** 2


earlier = optuna.create_study()
earlier.optimize(objective, n_trials=20)

module = optunahub.load_module(package="samplers/meta_learner")
study = optuna.create_study(sampler=module.MetaLearnerSampler(source_studies=[earlier]))
study.optimize(objective, n_trials=10)
print(study.best_params)
