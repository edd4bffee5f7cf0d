"""A teacher's outputs for the whole training set, computed once."""

from condenser.modules.taught.digest import digest
from condenser.modules.taught.disk import load, load_or_make
from condenser.modules.taught.make import obtain
from condenser.modules.taught.manifest import Manifest
from condenser.modules.taught.settings import Cache
from condenser.modules.taught.table import Taught

__all__ = ["Cache", "Manifest", "Taught", "digest", "load", "load_or_make", "obtain"]
