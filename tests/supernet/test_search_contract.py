"""Every search method of ``supernet.METHODS`` under one contract."""

import pytest

from metajax import supernet
from metajax.testing._supernet import SearchContract


@pytest.fixture(scope="module", params=supernet.METHODS)
def contract(request, own_programs):
    return SearchContract(supernet.METHODS[request.param])


def test_a_loop_of_steps_is_the_steps_in_one_program(contract):
    contract.check_steps()


def test_types_and_shapes_are_kept_and_all_is_finite(contract):
    contract.check_types()


def test_a_search_that_was_saved_ends_in_the_same_bits(contract, tmp_path):
    contract.check_resume(tmp_path)


def test_data_without_information_stay_finite(contract):
    contract.check_without_information()


def test_its_strengths_decide(contract):
    contract.check_decision()
