"""Keys that change the speed of a detector, not its definition."""


class Speed:
    """Faster backbone and heads.

    Attributes:
        channels_last: whether weights and features of backbone and heads are (N, H, W, C) in
            memory. What pays depends on the machine: docs/performance.md.
        compile: whether backbone and heads are compiled by torch.compile, which takes a minute at
            the start and a C++ compiler on the CPU.
        bfloat16: whether to compute in mixed precision without a scaler, on CPU and GPU.
        kernels: what computes the losses of many logits: "torch", PyTorch's operations; "triton",
            kernels that read the logits once; "auto", these on a GPU where Triton runs.
    """

    channels_last: bool = False
    compile: bool = False
    bfloat16: bool = False
    kernels: str = "auto"
