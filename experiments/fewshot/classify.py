"""Any few-shot method on any data, under one protocol.

    python -m experiments.fewshot.classify --method protonet --data omniglot --ways 5 --shots 1 --queries 15 --minutes 10
    python -m experiments.fewshot.classify --method maml --data pictures.npz --ways 5 --shots 5 --minutes 20
    python -m experiments.fewshot.classify --method protonet --batch-norm running --train-ways 60 --minutes 10
    python -m experiments.fewshot.classify --method r2d2 --data my_folder --size 64 --minutes 20 --test-data other_folder

The data is omniglot, mini-imagenet, tiered-imagenet, cifar-fs, sklearn:NAME, an .npz with ``images`` (classes x examples x
height x width [x channels]) or ``x`` and ``y``, or a folder of folders of images. Classes are split into training,
validation and test (64, 16 and 20%, by seed), unless the data has a split of its own. The checkpoint is chosen on
validation tasks. The test is on 600 fresh tasks of test classes (of ``--test-data``, if that is given), and the report
names the whole protocol.
"""

import itertools
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax

from experiments import harness
from experiments.fewshot._setting import Config, build, episodes, prepare
from metajax import data, fewshot, run
from metajax.types import Key, stream

CHUNK = 20
"""Steps of one compiled program."""
VALIDATION_TASKS = 200
TIMED_STEPS, VALIDATION_SHARE, SETUP_SECONDS = 5, 0.15, 8.0
"""For a plan of some minutes: the steps that are timed, the share of the time that validation may take, and the seconds for
imports, data and checkpoints, which are not timed."""


def load(config: Config) -> dict[str, Any]:
    """The classes for training, validation and test."""
    parts, test = prepare(config)
    return {"train": parts.train, "validation": parts.validation, "test": test}


def train(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Trains, chooses the checkpoint on validation tasks, and tests on ``episodes`` tasks."""
    parts, test = prepare(config)
    keys = jax.random.split(jax.random.key(config.seed), 4)
    if config.recipe().family == "pretraining":
        sampler: Any = fewshot.episodes.examples(parts.train, 64, config.rotations)
    else:
        sampler = fewshot.episodes.tasks(episodes(config, parts.train, "training", train=True), config.tasks or 1)

    def begin(steps: int):
        method = build(config, parts, steps)
        return method, method.init(keys[0], method.init_params(keys[1]))

    method, state = begin(config.steps)
    validation = evaluator(config, method, parts.validation, "validation", keys[2], VALIDATION_TASKS)
    steps, evaluations = config.steps, config.evaluations
    if config.minutes is not None:
        steps, evaluations = plan(config, directory, method, state, sampler, validation)
        method, state = begin(steps)  # how a method adapts does not depend on the steps: `validation` stays
    state = run.train(
        method.learner,
        state,
        sampler,
        steps,
        directory,
        chunk=CHUNK,
        evaluate=lambda state: {"validation_accuracy": float(validation(state.hyper).mean[-1])},
        evaluate_every=max(CHUNK, steps // evaluations // CHUNK * CHUNK),
        best="validation_accuracy",
        label=config.method,
    )
    state = run.load(state, directory.path, best=("validation_accuracy", True))
    report = evaluator(config, method, test, "test", keys[3], config.episodes)(state.hyper)
    seconds = max(r["seconds"] for r in directory.metrics())
    return result_of(report, config, {"best_step": int(state.step), "steps": steps, "seconds": seconds})


def result_of(report: fewshot.Report, config: Config, training: Mapping[str, float]) -> dict[str, Any]:
    """Returns the content of ``result.json``."""
    accuracy, interval = 100 * float(report.mean[-1]), 100 * float(report.interval[-1])
    return {
        "metrics": {"accuracy": accuracy, "interval": interval, "diverged": len(report.diverged), **training},
        "curve": report.mean.tolist(),
        "diverged": list(report.diverged),
        "protocol": f"{config.ways}-way {config.shots}-shot, {config.queries} queries a class: {report}",
    }


def evaluator(config: Config, method: fewshot.Method, classes: data.Classes, name: str, key: Key, n: int) -> Any:
    """Returns ``hyper -> report`` on n tasks of some classes."""
    mode = config.batch_norm if classes.x.ndim == 4 else "none"
    sample, checkpoint = episodes(config, classes, name), "best on validation tasks"
    every_step = name == "test" and config.minutes is None  # the curve over steps costs several tests
    chunk = 1 if config.chunk == 1 else 50
    return fewshot.evaluation.evaluator(method, sample, "accuracy", key, n, mode, chunk, checkpoint, every_step)


def plan(
    config: Config, directory: run.RunDirectory, method: fewshot.Method, state: Any, sampler: Any, validation: Any
) -> tuple[int, int]:
    """Returns the steps and the validations that fit in the minutes.

    Some steps and a validation are compiled and timed; as much compiling is still to come. The plan is kept with the run, so
    that a resumed run has the same one.
    """
    file = directory.path / "plan.json"
    if not file.is_file():
        step = lambda s, _: method.update(s, sampler(jax.random.fold_in(stream(s.key, "data"), s.step)))
        timed_steps = jax.jit(lambda s: jax.lax.scan(step, s, None, TIMED_STEPS)[0])
        clock = [time.perf_counter()]
        for program in (timed_steps, timed_steps, lambda s: validation(s.hyper), lambda s: validation(s.hyper)):
            jax.block_until_ready(program(state))
            clock.append(time.perf_counter())
        first_steps, timed, first_validation, validation_seconds = (b - a for a, b in itertools.pairwise(clock))
        step_seconds = timed / TIMED_STEPS
        test_seconds = first_validation - validation_seconds + validation_seconds * config.episodes / VALIDATION_TASKS
        elapsed = clock[-1] - clock[0]
        remaining_seconds = 60 * (config.minutes or 0) - elapsed - first_steps - test_seconds - SETUP_SECONDS
        evaluations = min(config.evaluations, max(1, int(VALIDATION_SHARE * remaining_seconds / validation_seconds)))
        training_seconds = remaining_seconds - evaluations * validation_seconds
        steps = max(1, int(training_seconds / step_seconds / CHUNK)) * CHUNK
        if remaining_seconds <= 0:
            message = f"--minutes {config.minutes}: compiling and the test alone take longer; {steps} steps"
            print(message, file=sys.stderr)
        timing = {"seconds_per_step": step_seconds, "seconds_per_validation": validation_seconds}
        run.write_json(file, {"steps": steps, "evaluations": evaluations, **timing})
    planned = run.read_json(file)
    return int(planned["steps"]), int(planned["evaluations"])


EXPERIMENT = harness.Experiment("classify", __doc__, Config, train, load)

if __name__ == "__main__":
    EXPERIMENT.exit()
