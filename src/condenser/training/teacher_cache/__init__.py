"""Cache of a teacher's outputs for the whole training set."""

from condenser.training.teacher_cache.compute import load_or_compute
from condenser.training.teacher_cache.digest import digest
from condenser.training.teacher_cache.disk import load, load_or_make
from condenser.training.teacher_cache.manifest import Manifest
from condenser.training.teacher_cache.settings import Cache
from condenser.training.teacher_cache.table import CachedOutputs

__all__ = [
    "Cache",
    "CachedOutputs",
    "Manifest",
    "digest",
    "load",
    "load_or_compute",
    "load_or_make",
]
