"""Several processes that train one network together.

Every process builds the same workbench. The first follows the recipe as a run of one process does:
it alone chooses, measures and writes. The others wait for its orders and take part in what is
trained (``team``). Who they are is said by torchrun, by SLURM, or by ``launch``.
"""
