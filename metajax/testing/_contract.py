"""What the contract suites share: how their checks are run, together or one by one."""

from collections.abc import Callable
from typing import Any, ClassVar


class Contract:
    """A method under the rules of its family.

    ``check()`` makes all checks. Pytest makes one test of each if a test is parametrized over ``CHECKS``. The checks of one
    object share its compiled programs, so make it once, in a fixture.

    Example:
        >>> from metajax import testing
        >>> [check.__name__ for check in testing.SearchContract.CHECKS][:3]
        ['check_types', 'check_steps', 'check_resume']
    """

    CHECKS: ClassVar[tuple[Callable[[Any], None], ...]] = ()
    """All checks, each a function of the contract."""

    def check(self) -> None:
        """Makes all checks. One that fails raises an ``AssertionError`` that says which rule is broken."""
        for check in self.CHECKS:
            check(self)
