"""What ``pyproject.toml`` cannot say: configs/ goes into the package, as imbdet/configs."""

from setuptools import find_namespace_packages, find_packages, setup

CONFIGS = [
    "imbdet.configs",
    *(f"imbdet.configs.{name}" for name in find_namespace_packages("configs")),
]

setup(
    packages=[*find_packages(include=["imbdet*"]), *CONFIGS],
    package_dir={"imbdet.configs": "configs"},
    package_data={
        "imbdet": ["py.typed"],
        "imbdet.report": ["page.*"],
        "imbdet.advice": ["evidence.yaml"],
        **{package: ["*.yaml"] for package in CONFIGS},
    },
)
