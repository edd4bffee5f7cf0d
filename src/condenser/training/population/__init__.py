"""Students of one architecture whose optimiser steps are executed together, as one network's.

Each runs its own Lightning trainer, with its own order of samples, validation, checkpoints and
curve, in a turn of its own (``condenser.runs.turns``); only the batches of a ``training_step`` are
trained on together. Weights are views of stacked tensors meanwhile, so that masks, constraints and
checkpoints work on them as ever.
"""
