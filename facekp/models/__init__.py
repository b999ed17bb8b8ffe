"""Networks: one file each, their heads, the registry of their names, and weight files."""

from facekp.models.networks import DETECTORS, NETWORKS, build_network

__all__ = ["DETECTORS", "NETWORKS", "build_network"]
