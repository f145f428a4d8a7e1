"""Names of the packages that Python and editors list for projects of others."""

import importlib

import pytest


@pytest.mark.parametrize("package", ["assigners", "losses", "samplers", "structures", "weighting"])
def test_a_package_lists_what_it_offers(package):
    module = importlib.import_module(f"imbdet.{package}")
    assert dir(module) == sorted(module.__all__)
    assert all(hasattr(module, name) for name in dir(module))
