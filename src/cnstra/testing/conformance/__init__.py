"""The behaviours that every broker and store must show, as tests for an adapter of your own."""

from cnstra.testing.conformance.brokers import BrokerConformance
from cnstra.testing.conformance.rig import Rig
from cnstra.testing.conformance.stores import StoreConformance, StoreRig

__all__ = ["BrokerConformance", "Rig", "StoreConformance", "StoreRig"]
