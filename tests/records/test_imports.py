import subprocess
import sys


def test_records_are_light_but_for_their_files():
    check = (
        "import sys, imbdet.records; assert 'pyarrow' not in sys.modules; "
        "import imbdet.records.record_columns; assert 'detectron2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
