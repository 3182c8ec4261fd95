"""Tools of others that a run works with. Each is imported when it is used."""

from metajax.integrations._trackers import TRACKERS, tracker

__all__ = ["TRACKERS", "tracker"]
