"""A teacher's outputs for the whole training set, computed once."""

from condenser.training.teacher_cache.compute import obtain
from condenser.training.teacher_cache.digest import digest
from condenser.training.teacher_cache.disk import load, load_or_make
from condenser.training.teacher_cache.manifest import Manifest
from condenser.training.teacher_cache.settings import Cache
from condenser.training.teacher_cache.table import Taught

__all__ = ["Cache", "Manifest", "Taught", "digest", "load", "load_or_make", "obtain"]
