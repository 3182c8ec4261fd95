"""What the contract suites share: how their checks are run, together or one by one."""

from collections.abc import Callable
from typing import Any, ClassVar


class Contract:
    """A method under the rules of its family.

    ``check()`` makes all checks. Pytest shows one test a check if it is parametrized over ``CHECKS``; the checks of one
    object share its compiled programs::

        @pytest.fixture(scope="module")
        def contract():
            return testing.SearchContract(mine)

        @pytest.mark.parametrize("check", testing.SearchContract.CHECKS)
        def test_my_method(contract, check):
            check(contract)
    """

    CHECKS: ClassVar[tuple[Callable[[Any], None], ...]] = ()
    """All checks, each a function of the contract."""

    def check(self) -> None:
        """Makes all checks. One that fails raises an ``AssertionError`` that says which rule is broken."""
        for check in self.CHECKS:
            check(self)
