"""The chart's README: an introduction, and a table made from the comments in values.yaml.

python -m tests.cluster.chart_readme
"""

import re
from pathlib import Path

import yaml

CHART = Path(__file__).parents[2] / "helm" / "stage1"
_INTRO = """# stage1 on Kubeflow

One release a model. A commit that changes a value under `training` trains once; everything else is an upgrade that
trains nothing. docs/cluster.md tells how to install it and what to look at.

```sh
helm upgrade --install roads helm/stage1 -n team-roads -f values.yaml
```

| value | default | what it is |
|---|---|---|
"""


def rows(text):
    """Return (path, what it is) of every documented value, and the paths that have no words."""
    path, said, found, silent = [], "", [], []
    for line in text.splitlines():
        comment = re.match(r"\s*# -- (.*)", line)
        if comment:
            said = comment[1]
            continue
        entry = re.match(r"( *)([A-Za-z]+):(.*)", line)
        if entry is None:
            continue
        path = [*path[: len(entry[1]) // 2], entry[2]]
        if said:
            found.append((".".join(path), said))
            said = ""
        elif entry[3].strip() and not any(".".join(path).startswith(f"{known}.") for known, _ in found):
            silent.append(".".join(path))
    return found, silent


def readme():
    """Return what README.md should be."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    lines = []
    for path, said in rows(text)[0]:
        value = values
        for name in path.split("."):
            value = value[name]
        shown = yaml.safe_dump(value, default_flow_style=True, width=10_000).replace("\n...", "").strip()
        lines.append(f"| `{path}` | `{shown}` | {said} |\n")
    return _INTRO + "".join(lines)


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme(), encoding="utf-8")
