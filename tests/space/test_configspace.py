"""Spaces from ConfigSpace and back, with conditions and forbidden combinations."""

import jax
import pytest

from metajax.space import Categorical, Condition, Float, Integer, Space, interop
from metajax.types import InputError

cs = pytest.importorskip("ConfigSpace")


def made():
    space = cs.ConfigurationSpace()
    net = cs.CategoricalHyperparameter("net", ["linear", "mlp", "tree"], default_value="tree")
    layers = cs.UniformIntegerHyperparameter("layers", 1, 6)
    rate = cs.UniformFloatHyperparameter("rate", 1e-3, 1.0, log=True)
    size, seed = cs.OrdinalHyperparameter("size", [8, 16, 64]), cs.Constant("seed", 3)
    space.add(net, layers, rate, size, seed)
    space.add(
        cs.AndConjunction(cs.InCondition(layers, net, ["linear", "mlp"]), cs.NotEqualsCondition(layers, net, "linear"))
    )
    space.add(cs.GreaterThanCondition(size, layers, 4))
    space.add(cs.OrConjunction(cs.EqualsCondition(rate, net, "mlp"), cs.EqualsCondition(rate, net, "tree")))
    space.add(cs.ForbiddenAndConjunction(cs.ForbiddenEqualsClause(net, "mlp"), cs.ForbiddenInClause(layers, [2, 3])))
    space.add(cs.ForbiddenEqualsClause(net, "linear"))
    return space


FORBIDDEN = [{"net": "mlp", "layers": 2}, {"net": "mlp", "layers": 3}, {"net": "linear"}]


def test_kinds_conditions_and_forbidden_combinations():
    space, forbidden = interop.from_configspace(made())
    assert space.domains["net"] == Categorical(("linear", "mlp", "tree")) and space.domains["layers"] == Integer(1, 6)
    assert space.domains["rate"] == Float(1e-3, 1.0, log=True)
    assert space.domains["size"] == Categorical((8, 16, 64)) and space.domains["seed"] == Categorical((3,))
    assert space.conditions == {
        "layers": Condition("layers", "net", ("mlp",)),
        "size": Condition("size", "layers", (5, 6)),
        "rate": Condition("rate", "net", ("mlp", "tree")),
    }
    assert sorted(map(str, forbidden)) == sorted(map(str, FORBIDDEN))


def test_there_and_back():
    space, forbidden = interop.from_configspace(made())
    back = interop.to_configspace(space, forbidden)
    again, of_again = interop.from_configspace(back)
    assert again.conditions == space.conditions and sorted(map(str, of_again)) == sorted(map(str, forbidden))
    assert {name: again.domains[name] for name in space.domains} == dict(space.domains)
    for config in back.sample_configuration(40):
        (read,) = space.dicts(space.configs([dict(config)]))
        assert read == {name: pytest.approx(value, rel=1e-6) for name, value in dict(config).items()}
        assert not any(clash.items() <= read.items() for clash in forbidden)
    for config in space.dicts(space.sample(jax.random.key(0), 40)):
        if not any(clash.items() <= config.items() for clash in forbidden):
            cs.Configuration(back, config)  # raises on an illegal one


def two_parents():
    space = cs.ConfigurationSpace({"a": ["x", "y"], "b": ["x", "y"], "c": (1, 4)})
    parts = [cs.EqualsCondition(space["c"], space[name], "x") for name in "ab"]
    space.add(cs.AndConjunction(*parts))
    return space


def never():
    space = cs.ConfigurationSpace({"a": ["x", "y"], "c": (1, 4)})
    parts = [cs.EqualsCondition(space["c"], space["a"], value) for value in "xy"]
    space.add(cs.AndConjunction(*parts))
    return space


def relation():
    space = cs.ConfigurationSpace({"a": (1, 4), "c": (1, 4)})
    space.add(cs.ForbiddenLessThanRelation(space["a"], space["c"]))
    return space


def normal():
    space = cs.ConfigurationSpace()
    space.add(cs.NormalFloatHyperparameter("a", 0, 1, lower=-1, upper=1))
    return space


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_parents, "c must depend on one parent, got a, b"),
        (never, "c must exist with some value of a"),
        (relation, "a forbidden clause must be of values .*, got ForbiddenLessThanRelation"),
        (normal, "a must be categorical.*, got NormalFloatHyperparameter"),
    ],
)
def test_what_a_space_cannot_say_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        interop.from_configspace(make())


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match=r"forbidden must name parameters among .*, got 'other'"):
        interop.to_configspace(Space({"a": Integer(1, 2)}), [{"other": 1}])
    with pytest.raises(InputError, match="it allows none of 256 random ones"):
        interop.to_configspace(Space({"a": Integer(1, 2)}), [{"a": 1}, {"a": 2}])
