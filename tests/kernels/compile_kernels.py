"""Compile the kernels of Triton for a GPU that need not be there: Hopper's, capability 9.0.

    python -m tests.kernels.compile_kernels

The interpreter of the other tests takes what the compiler refuses, such as a variable that changes
its type in a loop.
"""

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from imbdet.kernels.fused import (
    entries,
    entrywise,
    negative_softmax,
    norm_histogram,
    step_sums,
)
from imbdet.kernels.fused.tiles import TILE, tile_columns

TARGET = GPUTarget("cuda", 90, 32)
NUMBERS = dict.fromkeys(("n0", "n1", "n2", "p0", "p1", "p2"), "fp32")
ARRAYS = {
    "labels": "*i64",
    "targets": "*fp32",
    "losses": "*fp32",
    "grad_losses": "*fp32",
    "neg_table": "*fp64",
    "pos_table": "*fp64",
    "segments": "*i64",
    "weights": "*fp64",
    "ends": "*fp64",
    "firsts": "*i64",
    "bounds": "*fp64",
    "sums": "*fp64",
    "intercepts": "*fp64",
    "slopes": "*fp64",
    **dict.fromkeys(("masses", "means", "grad_masses", "grad_means", "counts"), "*fp64"),
}
LOGITS = ("logits", "grads", "values")


def compile_kernel(kernel, dtype, num_columns, **constants):
    """Compile for logits of a type; all other arguments are integers."""
    columns = tile_columns(num_columns)
    constants |= {"ROWS": TILE // columns, "COLUMNS": columns}
    types = NUMBERS | ARRAYS | dict.fromkeys(LOGITS, f"*{dtype}")
    names = kernel.arg_names
    source = ASTSource(
        fn=kernel,
        signature={n: "constexpr" if n in constants else types.get(n, "i32") for n in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
    )
    compiled = triton.compile(source, target=TARGET)
    assert compiled.asm["cubin"]


def main():
    for positive, negative, dtype in (
        ("cross_entropy", "cross_entropy", "fp16"),
        ("focal", "focal", "fp32"),
        ("quality_focal", "focal", "bf16"),
        ("harmonized", "harmonized", "fp32"),
    ):
        for kernel, kind in ((entrywise._pay, "value"), (entrywise._derive, "grad")):
            functions = {
                "POSITIVE": getattr(entries, f"{positive}_{kind}"),
                "NEGATIVE": getattr(entries, f"{negative}_{kind}"),
            }
            compile_kernel(kernel, dtype, 80, **functions)
    compile_kernel(
        entrywise._derive,
        "fp32",
        1,
        POSITIVE=entries.varifocal_grad,
        NEGATIVE=entries.detached_focal_grad,
    )
    for has_more, dtype, num_columns in ((False, "bf16", 1), (True, "fp32", 80)):
        for kernel in (step_sums._add, step_sums._evaluate):
            options = {"HAS_SEGMENTS": has_more, "HAS_WEIGHTS": has_more}
            compile_kernel(kernel, dtype, num_columns, **options)
        for kernel in (negative_softmax._reduce, negative_softmax._derive):
            compile_kernel(kernel, dtype, num_columns, TEMPERATURE=0.08)
        compile_kernel(norm_histogram._count, dtype, num_columns, HAS_WEIGHTS=has_more)


if __name__ == "__main__":
    main()
