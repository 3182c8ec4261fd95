"""Contract suites: what every method of a family must do, as tests for the methods of other people."""

__all__: list[str] = []
