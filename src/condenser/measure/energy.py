"""Estimated energy per image, from published energies per operation."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from condenser.capture import device_of, evaluating, watching
from condenser.measure.compute import TRANSPOSED, WEIGHTED, compute

Widths = Mapping[str, tuple[int, int | None]]  # layer → bits of its weights and of its inputs

# Picojoules in a 45 nm process at 0.9 V: Horowitz, "Computing's energy problem (and what we can do
# about it)", ISSCC 2014, fig. 1.1.9, https://doi.org/10.1109/ISSCC.2014.6757323; the same in table
# form in Sze, Chen, Yang, Emer 2017, https://arxiv.org/abs/1703.09039.
FLOAT_MULTIPLY, FLOAT_ADD = 3.7, 0.9  # 32 bits
INT8_MULTIPLY, INT32_ADD = 0.2, 0.1
SRAM_BIT = 100 / 64  # of 1 MB, 64 bits at a time
DRAM_BIT = 1300 / 64  # the least of the 1.3 to 2.6 nJ for 64 bits
FLOAT_BITS = 32
PJ_IN_UJ = 1e6


def energy(model: nn.Module, example: Tensor, widths: Widths | None = None) -> dict[str, float]:
    """{uj, macs_uj, memory_uj}: an estimate of the microjoules for one image, not a measurement.

    macs_uj: Σ over layers of multiply-accumulates · ``mac_energy`` of the layer's bits. A weight of
    zero counts as any other, as in dense kernels; what no Linear or Conv layer computes (products
    within attention) counts as float.
    memory_uj: every parameter and floating-point buffer is read once from DRAM, a layer's weights
    in their bits and all else in 32; every Linear or Conv layer reads its inputs from a memory of
    1 MB on the chip and writes its outputs there, in the bits of its inputs. Normalisation,
    activations and sums are taken to be done on the way.

    For comparing networks on one hypothetical chip only; absolute numbers of real chips differ.

    Args:
        example: (1, C, H, W).
        widths: layers whose numbers are integers; inputs of None bits are floats, and a product of
            an integer weight and a float is one of floats.
    """
    widths = widths or {}
    floats = (FLOAT_BITS, None)
    layers = [name for name, layer in model.named_modules() if is_layer(layer)]
    picojoules = {"macs": 0.0, "moved": 0.0}
    counted = 0

    def note(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        weight_bits, input_bits = widths.get(name, floats)
        macs = macs_of(layer, inputs[0], output)
        counted += macs
        picojoules["macs"] += macs * mac_energy(weight_bits, input_bits)
        values = inputs[0].numel() + output.numel()
        picojoules["moved"] += values * (input_bits or FLOAT_BITS) * SRAM_BIT

    with evaluating(model), watching(model, layers, note):
        model(example.to(device_of(model)))
    rest = max(compute(model, example)["macs"] - counted, 0)
    macs = (picojoules["macs"] + rest * mac_energy(*floats)) / PJ_IN_UJ
    memory = (picojoules["moved"] + stored_bits(model, widths) * DRAM_BIT) / PJ_IN_UJ
    return {"uj": macs + memory, "macs_uj": macs, "memory_uj": memory}


def mac_energy(weight_bits: int, input_bits: int | None) -> float:
    """Picojoules of one multiply-accumulate.

    Floats: 3.7 + 0.9. Integers: 0.2 · (weight bits · input bits / 8²) + 0.1, since a multiplier's
    area and energy grow with the product of its operands' bits; sums are kept in 32 bits.
    """
    if input_bits is None:
        return FLOAT_MULTIPLY + FLOAT_ADD
    return INT8_MULTIPLY * weight_bits * input_bits / 64 + INT32_ADD


def is_layer(module: nn.Module) -> bool:
    return isinstance(module, WEIGHTED)


def macs_of(layer: nn.Module, given: Tensor, output: Tensor) -> int:
    """Multiply-accumulates of one call of a layer."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    met = given if isinstance(layer, TRANSPOSED) else output
    return met.numel() // weight.shape[0] * weight.numel()


def stored_bits(model: nn.Module, widths: Widths) -> int:
    """Bits of all parameters and floating-point buffers, each tensor once."""
    tensors: dict[str, Tensor] = dict(model.named_parameters())
    tensors |= {n: b for n, b in model.named_buffers() if b.is_floating_point()}
    weights = ("weight", "in_proj_weight")  # the latter is attention's
    narrow = {f"{layer}.{w}": bits for layer, (bits, _) in widths.items() for w in weights}
    return sum(tensor.numel() * narrow.get(name, FLOAT_BITS) for name, tensor in tensors.items())
