"""Many devices, and many hosts: one argument ``devices=``, which every training that can use it takes.

A program is the same for any number of devices. Batches are cut along one axis (tasks, examples), the state is whole on every
device, and XLA adds up what the devices have found. Over hosts, every process runs the same program: ``connect`` first.
"""

from metajax.parallel._devices import Devices, mesh
from metajax.parallel._hosts import agreed, connect, is_first, wait
from metajax.parallel._placement import Placement

__all__ = ["Devices", "Placement", "agreed", "connect", "is_first", "mesh", "wait"]
