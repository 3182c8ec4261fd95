"""The methods that get a page, by families: what has their documentation, their settings, and code that uses them.

``FAMILIES`` says which methods there are. A new entry of a package's table of methods needs no change here.
"""

import dataclasses
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [path for path in (str(Path(__file__).parent), str(ROOT)) if path not in sys.path]

import docparts  # noqa: E402

from metajax import bilevel, fewshot, hpo, predictor, search, supernet  # noqa: E402


class Entry(NamedTuple):
    """A method.

    Attributes:
        name: What a user writes.
        documented: What has the method's docstring.
        rows: A pattern of the names by which results call the method.
        sections: The sections of the results in which it is looked up; all of them if there are none.
        paper: Its paper, where the docstring has none.
        deviations: What differs from the paper, where the docstring does not say.
        settings: Sections with its settings, in Markdown.
        use: Python blocks that use the method by its name, in Markdown.
        function: What has the arguments, if it is not what has the docstring.
    """

    name: str
    documented: Any
    rows: str
    sections: tuple[str, ...] = ()
    paper: str = ""
    deviations: str = ""
    settings: str = ""
    use: str = ""
    function: Any = None

    @property
    def file(self) -> str:
        """The name of the page's file."""
        return re.sub(r"\W+", "-", self.name.replace("+", "-plus")).strip("-").lower() + ".md"

    @property
    def papers(self) -> str:
        """The papers, with links."""
        return docparts.linked(self.paper or docparts.parts(self.documented).get("References", ""))

    @property
    def differs(self) -> str:
        """What differs from the paper and the authors' code."""
        return self.deviations or docparts.parts(self.documented).get("Deviations", "")


class Family(NamedTuple):
    """Methods that one page introduces, ``docs/methods/NAME.md``.

    Attributes:
        package: The package, which has a page of the API.
        choosing: The page that helps to choose.
        entries: Makes the methods.
    """

    package: str
    choosing: str
    entries: Callable[[], Iterable[Entry]]


def valued(value: Any) -> str:
    """A setting in words."""
    if callable(value):
        return f"`{getattr(value, '__name__', type(value).__name__).strip('<>')}`"
    if isinstance(value, dict):
        return ", ".join(f"{name} = {valued(each)}" for name, each in value.items()) or "–"
    if isinstance(value, tuple | list):
        return ", ".join(map(valued, value)) or "–"
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def fields(recipes: dict[str, Any], left_out: str) -> str:
    """A table of the fields of recipes of one class, with what each field is."""
    kind = type(next(iter(recipes.values())))
    meanings = docparts.entries(docparts.parts(kind)["Attributes"])
    rows = [f"| setting | {' | '.join(recipes)} | what it is |", "|---" * (2 + len(recipes)) + "|"]
    for field in dataclasses.fields(kind):
        if field.name in meanings and field.name not in left_out.split():
            values = " | ".join(valued(getattr(recipe, field.name)) for recipe in recipes.values())
            rows.append(f"| `{field.name}` | {values} | {meanings[field.name]} |")
    return "\n".join(rows)


FEW_SHOT = """\
```python
import jax
from flax import nnx
from metajax import fewshot, nn

# Your data goes here: classes, examples, height, width, channels.
images = jax.random.uniform(jax.random.key(0), (20, 8, 12, 12, 1))


def body(*, flatten, context):
    make = lambda rngs: nn.Conv4(None, width=8, flatten=flatten, context=context, rngs=rngs)
    return nn.functional(make)


def head(outputs):
    return nn.functional(lambda rngs: nnx.Linear(8, outputs, rngs=rngs))


recipe = fewshot.METHODS["{name}"].for_ways(5)
method = recipe.build(body, head, steps=1000, classes=20)
state = method.init(jax.random.key(1))
```

A step of training and a test on new tasks:

```{{ .python .slow }}
task = fewshot.episodes.classes(images, ways=5, shots=1, queries=3)
sample = {sample}
state, info = jax.jit(method.update)(state, sample(jax.random.key(2)))
key = jax.random.key(3)
print(fewshot.evaluate(method, state.hyper, task, "accuracy", key, episodes=50))
```
"""


def few_shot(in_closed_form: bool) -> Iterable[Entry]:
    """The few-shot methods that adapt by gradient, or the others."""
    for name, recipe in fewshot.METHODS.items():
        if (recipe.family != "gradient") == in_closed_form:
            by_ways = {f"{ways} ways": recipe.for_ways(ways) for ways in (5, 20)}
            sample = "fewshot.episodes.tasks(task, recipe.tasks)"
            if recipe.family == "pretraining":
                sample = "fewshot.episodes.examples(images, 64)"
            settings = (
                f'Those of `fewshot.METHODS["{name}"]`, for a few thousand steps on a CPU. Change them by '
                f"`dataclasses.replace`.\n\n{fields(by_ways, 'builder function many_ways ways')}"
            )
            rows = rf"{re.escape(name)}(,.*)?" + (r"|sinusoid MAML,.*" if name == "maml" else "")
            use = FEW_SHOT.format(name=name, sample=sample)
            yield Entry(name, recipe.function, rows, settings=settings, use=use)


SUPERNET = """\
```python
from metajax import data, fewshot, nn, supernet

space = supernet.spaces.cell_space(nodes=3)
loss = fewshot.cross_entropy


def network(partial, single_path):
    options = {{"partial": partial, "single_path": single_path, "stride": 2}}
    return nn.functional(lambda rngs: supernet.spaces.CellNet(space, 10, 4, 1, **options, rngs=rngs))


search = supernet.METHODS["{name}"].build(space, network, loss, steps=1000)
```

A whole search, which trains the SuperNet and decides, cut short:

```{{ .python .slow }}
outcome = supernet.run("{name}", space, network, loss, data.digits(0)[:2], steps=10)
print(outcome.config)
```
"""
PROXIES = {"gradient_norm": "gradient-norm", "jacobian_covariance": "jacobian", "ntk_condition": "ntk"}
WALKS = {"random_search": "random", "local_search": "local-search", "evolve": "evolution", "reinforce": "reinforce"}


def architecture_search() -> Iterable[Entry]:
    """The searches in a SuperNet, the searches without a gradient, and the zero-cost proxies."""
    space = supernet.spaces.cell_space()
    for name, method in supernet.METHODS.items():
        settings = (
            "Those on the space of NAS-Bench-201. Change them by `dataclasses.replace`, or give your own recipe to "
            f"`supernet.run`.\n\n{fields({'value': method.recipe(space)}, 'logits_optimizer estimator')}\n\n"
            f"The recipe is this function:\n\n```python3\n{docparts.source(method.recipe)}\n```\n"
        )
        text = method.deviations or "Nothing beside what all searches here share."
        differs = (
            f"{text}\n\nAll searches use the statistics of the batch for batch norm, and the weights learn before the logits "
            "in a step. A search of fewer steps than the published one takes a larger rate of the logits."
        )
        use = SUPERNET.format(name=name)
        yield Entry(name, method.recipe, re.escape(name), (), method.paper, differs, settings, use)
    for name, row in WALKS.items():
        yield Entry(f"baselines.{name}", getattr(supernet.baselines, name), row, ("NAS-Bench-201",))
    for name in ("gradient_norm", "snip", "grasp", "synflow", "jacobian_covariance", "naswot", "ntk_condition"):
        row, sections = PROXIES.get(name, name), ("NAS-Bench-201: zero-cost proxies",)
        yield Entry(f"diagnosis.{name}", getattr(supernet.diagnosis, name), row, sections)


ESTIMATOR = """\
It suits {suits}.

Here a penalty is learned: `h` is its logarithm, the inner loss has it and the outer loss does not.

```python
import jax
import jax.numpy as jnp
import optax
from metajax import bilevel, hpo

distance = lambda w, batch: jnp.mean((w - batch) ** 2)
inner_loss = lambda h, w, batch, key: (distance(w, batch) + jnp.exp(h) * w**2, {{}})
outer_loss = lambda h, w, batch, key: (distance(w, batch), {{}})
start = lambda h, key: jnp.zeros(())
inner = bilevel.Inner.descent(inner_loss, start, lambda h: optax.sgd(0.1))
estimator = hpo.make_estimator("{name}")
hypergradient = estimator(bilevel.Problem(inner, outer_loss))
batches = jnp.ones((30, 5)), jnp.ones(5)  # 30 inner steps, and one outer batch
found = hypergradient(jnp.zeros(()), None, *batches, jax.random.key(0))
print(found.value, found.grad)
```
"""
CALLED = {"unroll": r"unroll( sqrt)?|hypergradient through.*", "evolution": "evolution|es|full es"}
"""What results call the estimators, where it is not their name alone."""


def hypergradients() -> Iterable[Entry]:
    """The estimators by name, and the derivative of a solution."""
    general = {"truncated": bilevel.unroll, "pes": bilevel.evolution}
    general |= dict.fromkeys(("cg", "neumann", "identity"), bilevel.implicit)
    for name, entry in hpo.ESTIMATORS.items():
        use = ESTIMATOR.format(name=name, suits=entry.suits)
        yield Entry(name, entry.make, CALLED.get(name, name), use=use, function=general.get(name))
    yield Entry("through_solution", bilevel.through_solution, "through-solution")


COMPONENT = """\
The network is trained with the component in the slot `{slot}`. After every five steps of its weights, the hyperparameters make
one step on held-out examples.

```python
import jax
import jax.numpy as jnp
import optax
from metajax import bilevel, hpo, nn

network = nn.functional(lambda rngs: {network})
training = hpo.training_problem(network, optax.sgd(0.1), 3, {slot}=hpo.{component})
learner = bilevel.learner(training.problem, bilevel.unroll(), optax.adam(0.01), 5, warm_start=True)
key = jax.random.key(0)
state = learner.init(key, training.init(key))
```

An update, on data of your own in place of `x` and `y`:

```{{ .python .slow }}
x, y = jax.random.normal(key, (60, {shape})), jnp.arange(60) % 3
batch = lambda rows: hpo.IndexedBatch(x[rows], y[rows], rows)
state, info = jax.jit(learner.update)(state, (batch(jnp.arange(50).reshape(5, 10)), batch(jnp.arange(50, 60))))
print(float(info["outer_loss"]))
```
"""
ONLINE = """\
```python
import jax
import jax.numpy as jnp
import optax
from metajax import hpo

loss = lambda w, batch, key: (jnp.mean((w - batch) ** 2), {})
learner = hpo.hypergradient_descent(lambda key: jnp.zeros(()), loss, hpo.sgd, optax.sgd(0.01))
state = learner.init(jax.random.key(0), jnp.asarray(0.01))  # the learning rate at the start
for _ in range(10):
    state, info = learner.update(state, jnp.ones(5))
print(float(state.hyper))
```
"""
DISTILLED = """\
```python
import jax
import jax.numpy as jnp
import optax
from metajax import bilevel, hpo, nn

network = nn.functional(lambda rngs: nn.MLP(4, (8,), 3, rngs=rngs))
distilled = hpo.distillation_problem(network, (4,), classes=3, per_class=2)
learner = bilevel.learner(distilled.problem, bilevel.unroll(), optax.adam(0.01), 10, warm_start=False)
key = jax.random.key(0)
state = learner.init(key, distilled.init(key))
```

An update, on data of your own in place of `x` and `y`:

```{ .python .slow }
x, y = jax.random.normal(key, (60, 4)), jnp.arange(60) % 3
real = hpo.IndexedBatch(x, y, jnp.arange(60))
state, info = jax.jit(learner.update)(state, (jnp.arange(10), real))
print(state.hyper["x"].shape)
```
"""
SLOTS = {
    "augmentation": ("inputs", ""),
    "label_smoothing": ("labels", ""),
    "polynomial_loss": ("loss", ""),
    "learned_loss": ("loss", ""),
    "example_weights": ("weights", "60"),
    "meta_weight_net": ("weights", ""),
    "l2": ("penalty", ""),
}
"""The components that were published, with their slots and what they are made of in an example."""
MEASURED = {
    "augmentation": (".*", ("augmentation",)),
    "example_weights": (".*", ("hyper_cleaning",)),
    "l2": (".*", ("many_hyperparameters",)),
}
"""The rows and the sections of the results that are about one component."""


def hyperparameters() -> Iterable[Entry]:
    """What is learned by gradient beside the weights: published components, online rates, and distilled data."""
    for name, (slot, arguments) in SLOTS.items():
        is_image = slot == "inputs"
        network = "nn.Conv4(3, channels=1, width=4, rngs=rngs)" if is_image else "nn.MLP(4, (8,), 3, rngs=rngs)"
        component, shape = f"{name}({arguments})", "16, 16, 1" if is_image else "4"
        use = COMPONENT.format(slot=slot, network=network, component=component, shape=shape)
        rows, sections = MEASURED.get(name, (name, ()))
        yield Entry(name, getattr(hpo, name), rows, sections, use=use)
    yield Entry("hypergradient_descent", hpo.hypergradient_descent, "hypergradient_descent", use=ONLINE)
    yield Entry("distillation_problem", hpo.distillation_problem, "distillation_problem", use=DISTILLED)


def predictors() -> Iterable[Entry]:
    """The models of a metric."""
    yield Entry("ridge", predictor.ridge, r"ridge( of order 2|, .*| on paths)?")
    yield Entry("kernel", predictor.kernel, r"(kernel|Hamming kernel)(,.*| on paths.*)?")
    yield Entry("ensemble", predictor.ensemble, r"ensemble( on paths)?")
    yield Entry("mlp", predictor.mlp, "predictor mlp")
    yield Entry("deep_kernel", predictor.deep_kernel, "deep kernel")
    yield Entry("maml_network", predictor.maml_network, "maml network")
    yield Entry("architectures.graph_network", predictor.architectures.graph_network, "graph")
    yield Entry("architectures.path_features", predictor.architectures.path_features, ".* on paths.*")
    sections = ("transfer_oboe", "search_tabular")
    yield Entry("priors.transfer", predictor.priors.transfer, r"transfer( without meta-features)?", sections)


def searches() -> Iterable[Entry]:
    """The searches through a model, and the proposer with its strategies."""
    for name in ("Certify", "Enumerate", "Gradient", "Reinforce", "Evolve", "Random"):
        yield Entry(name, getattr(search, name), rf"{name.lower()}( \d.*|,? (s|below).*)?", ("certify", "benchmarks"))
    yield Entry("Proposer", search.Proposer, "kernel|transfer|average rank", ("search_tabular",))
    yield Entry("Acquisition", search.Acquisition, "acquisition")
    yield Entry("DiverseBatch", search.DiverseBatch, "diverse batch")


FAMILIES = {
    "maml": Family("fewshot", "fewshot", lambda: few_shot(in_closed_form=False)),
    "heads": Family("fewshot", "fewshot", lambda: few_shot(in_closed_form=True)),
    "nas": Family("supernet", "nas", architecture_search),
    "hypergradients": Family("bilevel", "hypergradients", hypergradients),
    "hpo": Family("hpo", "hypergradients", hyperparameters),
    "predictors": Family("predictor", "predictors", predictors),
    "search": Family("search", "search", searches),
}
