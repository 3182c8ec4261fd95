"""What a step of a search costs beside that of first-order DARTS: exact second order, and single paths.

    python -m experiments.benchmarks.search_steps --size 32 --channels 16 --out runs/benchmarks/search_steps_large
    python -m experiments.benchmarks.search_steps --size 16 --channels 8 --out runs/benchmarks/search_steps_small

The network is NAS-Bench-201's SuperNet of one cell a stage. ``darts-2`` differentiates exactly through a step of SGD with
momentum. ``gdas`` and ``single path`` compute only the operations that were drawn. A round is a compiled scan of ``steps``
steps, so many that the cost of the draws is near its mean. The single path learns weights only, and is compared with the
mixture that learns weights only. Exact second order is checked against central differences in the tests of ``bilevel``.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from experiments import harness
from experiments.benchmarks import compare
from experiments.benchmarks import supernet as mixed_step
from metajax import bilevel, fewshot, supernet


@dataclasses.dataclass(frozen=True)
class Config(mixed_step.Config):
    """Sizes of the network, and the steps of a round."""

    size: int = 16
    """Side of the images in pixels."""
    channels: int = 8
    """Channels of the first stage."""
    rounds: int = 5
    """Rounds, in which all programs run in turn."""
    steps: int = 10
    """Steps of a round."""

    def __post_init__(self):
        super().__post_init__()
        harness.check_at_least(self, 1, "steps")


PRESETS = {"paper": {}, "tiny": {"size": 8, "channels": 4, "batch": 8, "rounds": 1, "steps": 1}}


def searches(config: Config) -> dict[str, supernet.Search]:
    """Returns the searches by name; all have the same optimizers."""
    descent = optax.sgd(mixed_step.RATE, momentum=mixed_step.MOMENTUM, nesterov=True)
    # a norm has no derivative at zero, so nothing is clipped where a step is differentiated
    inner, outer = optax.chain(optax.add_decayed_weights(mixed_step.DECAY), descent), optax.adam(mixed_step.OUTER)
    space, mixed = supernet.spaces.cell_space(), mixed_step.network(config)
    alone, draw = mixed_step.network(config, single_path=True), supernet.relaxations.straight_through_path()

    def make(network, relaxation, estimator):
        return supernet.compose_search(
            space, network, fewshot.cross_entropy, inner, outer, 10**4, relaxation, estimator()
        )

    return {
        "darts-1": make(mixed, None, bilevel.first_order),
        "darts-2": make(mixed, None, bilevel.unroll),
        "gdas": make(alone, draw, bilevel.first_order),
        "mixture, weights": make(mixed, None, bilevel.weights_only),
        "single path, weights": make(alone, draw, bilevel.weights_only),
    }


def measure(config: Config) -> compare.Measured:
    """Measures all searches in turn."""
    prepared, programs, losses = mixed_step.batches(config, config.steps), {}, {}
    for name, search in searches(config).items():
        state = search.init(jax.random.key(config.seed))
        run = jax.jit(lambda state, batches, search=search: jax.lax.scan(search.update, state, batches))
        losses[name] = run(state, prepared)[1]["inner_loss"]
        programs[name] = compare.ready(run, state, prepared)
    # the first inner loss comes before any outer step: the same for both orders, and for the same mixture
    differences = [float(jnp.abs(losses[n][0] - losses["darts-1"][0])) for n in ("darts-2", "mixture, weights")]
    compare.check_difference(max(differences), 1e-4, "first inner loss")
    seconds = {name: durations / config.steps for name, durations in compare.alternate(programs, config.rounds).items()}

    def slowdown_claim(name: str, against: str, label: str, goal: float) -> compare.Claim:
        return compare.claim(f"{label}, {config.sizes}", goal, seconds[name] / seconds[against], most=True)

    claims = [
        slowdown_claim("darts-2", "darts-1", "exact second-order DARTS step over first-order", 2.5),
        slowdown_claim("gdas", "darts-1", "GDAS step over the mixed first-order step", 0.4),
        slowdown_claim(
            "single path, weights", "mixture, weights", "single-path step over the mixed step, weights only", 0.4
        ),
    ]
    protocol = f"{config.rounds} rounds of {config.steps} steps in turn; ms a step; batch norm by the batch"
    return compare.Measured(compare.times(seconds), claims, protocol)


EXPERIMENT = compare.benchmark("search_steps", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
