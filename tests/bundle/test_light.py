"""The consumer's way needs none of what training needs."""

import subprocess
import sys

from stage1.storage import Store
from tests.bundle.making import Maker
from tests.bundle.test_publishing import next_bundle

HEAVY = ("torch", "torchvision", "timm", "scipy", "sklearn", "pyarrow", "pandas", "mlflow", "onnx", "matplotlib", "kfp")

ASK = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[2].split(","):
            raise ModuleNotFoundError(f"a consumer has no {name}")

sys.meta_path.insert(0, Forbidden())
from pathlib import Path
from stage1.bundle import Bundle, verify

uri = sys.argv[1]
verify(uri)
bundle = Bundle.load(uri)
image = next(Path(uri).parent.parent.glob("bundles/sha256/*/canaries/0.png"))
print(bundle.decide([image])[0].label)
print(sorted(set(sys.argv[2].split(",")) & set(sys.modules)))
"""


def test_a_consumer_needs_none_of_the_heavy_libraries(make: Maker, store: Store) -> None:
    from stage1.bundle import promote

    promote(store, "demo", next_bundle(make, store))
    done = subprocess.run(
        [sys.executable, "-c", ASK, store.uri_of("channels/demo.json"), ",".join(HEAVY)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "roadwork\n[]\n"
