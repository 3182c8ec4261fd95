"""Every search method of ``supernet.METHODS`` under one contract."""

import pytest

from metajax import supernet, testing


@pytest.fixture(scope="module", params=supernet.METHODS)
def contract(request, own_programs):
    return testing.SearchContract(supernet.METHODS[request.param])


@pytest.mark.parametrize("check", testing.SearchContract.CHECKS)
def test_contract(contract, check):
    check(contract)
