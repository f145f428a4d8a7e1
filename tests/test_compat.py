"""Tests of each incompatibility of detectron2 v0.6 that imbdet/compat.py mends."""

import importlib.util
import subprocess
import sys
import textwrap

import pytest


def run_python(code: str, *flags: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )


def test_every_used_part_of_detectron2_imports_without_a_warning():
    result = run_python(
        """
        import imbdet.compat
        import detectron2.data, detectron2.engine, detectron2.evaluation, detectron2.modeling
        import PIL.Image
        assert hasattr(PIL.Image, "LINEAR")
        from detectron2 import _C
        import importlib.util
        assert importlib.util.find_spec("detectron2._C") is not None
        imbdet.compat.require_detectron2()  # again
        """
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_losses_import_without_detectron2():
    result = run_python(
        """
        import sys
        sys.modules["detectron2"] = None  # any import of it fails
        import imbdet, imbdet.losses
        """
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "detectron2 is not installed"),
        (["detectron2/README.md"], "only half installed"),
        (["detectron2/__init__.py"], "only half installed"),
        (
            ["detectron2/__init__.py", "detectron2/config/__init__.py", "detectron2/_C.so"],
            "compiled part does not load here",
        ),
    ],
)
def test_missing_or_broken_detectron2_is_one_sentence(tmp_path, monkeypatch, files, message):
    import imbdet.compat
    from imbdet.errors import UserError

    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in [name for name in sys.modules if name.split(".")[0] == "detectron2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UserError, match=message) as error:
        imbdet.compat.require_detectron2()
    assert "\n" not in str(error.value)


def test_the_model_zoo_needs_no_old_setuptools():
    import imbdet.compat

    result = run_python(
        """
        import sys, importlib.util, warnings
        find_spec = importlib.util.find_spec
        importlib.util.find_spec = lambda name: None if name == "pkg_resources" else find_spec(name)
        import imbdet.compat
        from detectron2 import model_zoo
        assert "pkg_resources" not in sys.modules
        try:
            model_zoo.get_config_file("nothing.yaml")
        except RuntimeError as error:
            print(error)
        """
    )
    assert result.stdout == "nothing.yaml not available in Model Zoo!\n", result.stderr
    file = imbdet.compat._resource_filename("imbdet.losses", "focal.py")
    assert file == importlib.util.find_spec("imbdet.losses.focal").origin


@pytest.mark.parametrize("is_loaded_before", [False, True])
def test_group_norm_of_detectron2s_own_retinanet_is_built(is_loaded_before):
    result = run_python(
        f"""
        import imbdet.compat
        from detectron2.layers import ShapeSpec, get_norm
        from detectron2.modeling.meta_arch import retinanet
        if {is_loaded_before}:
            retinanet.get_norm = get_norm
            imbdet.compat.require_detectron2()
        options = dict(num_classes=2, num_anchors=1, conv_dims=[32], norm="GN")
        retinanet.RetinaNetHead(input_shape=[ShapeSpec(channels=32)], **options)
        """
    )
    assert result.returncode == 0, result.stderr


def test_importing_imbdets_detectors_changes_nothing_of_detectron2():
    result = run_python(
        """
        import imbdet.compat
        import detectron2.modeling, detectron2.config, detectron2.data, detectron2.evaluation, sys

        def contents():
            modules = dict(sys.modules)
            names = [name for name in modules if name.split(".")[0] == "detectron2"]
            return {(name, own): id(value) for name in names
                    for own, value in vars(modules[name]).items()}

        before = contents()
        import imbdet.modeling
        after = contents()
        changed = {key for key in before if after.get(key) != before[key]}
        assert not changed, changed
        """
    )
    assert result.returncode == 0, result.stderr
