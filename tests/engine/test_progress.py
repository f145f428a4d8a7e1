from imbdet.engine.progress import ProgressBar


def test_a_bar_ends_though_another_hook_failed_before_it_began():
    # detectron2 calls it also then, and an error here would hide the one that counts.
    ProgressBar().after_train()
