"""An object database in memory: collections, indexes that keep themselves, subscriptions."""

from cnstra.oimdb.changes import Change
from cnstra.oimdb.collection import Collection
from cnstra.oimdb.database import OIMDB
from cnstra.oimdb.indexes import Index
from cnstra.oimdb.manual import ManualIndex

__all__ = ["OIMDB", "Change", "Collection", "Index", "ManualIndex"]
