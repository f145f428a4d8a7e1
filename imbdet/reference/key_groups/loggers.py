"""Keys of programs that receive the curves."""


class Loggers:
    """Programs that keep the curves of many trainings, beside metrics.json and TensorBoard.

    Attributes:
        names: "wandb" (Weights & Biases) and "mlflow"; pip install "imbdet[wandb]" and
            "imbdet[mlflow]" bring them.
        project: the project, or experiment, that the run belongs to.
        run: name of the run; empty is that of the folder OUTPUT_DIR.
    """

    names: list[str] = []  # noqa: RUF012  (copied into each config)
    project: str = "imbdet"
    run: str = ""
