"""Imported by the fork server alone: what every builder needs is ready before it forks them."""

from tests.faults.killed_builder import make_ready

make_ready()
