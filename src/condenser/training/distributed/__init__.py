"""Distributed training: several processes that train one network together.

Every process builds the same run context. Rank 0 runs the recipe as a single process would and owns
the run folder, the W&B run and all decisions; the other ranks join each training step's work
(``process_group``). Ranks come from torchrun, SLURM or ``launch``.
"""
