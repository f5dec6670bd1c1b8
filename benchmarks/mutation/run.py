"""Mutation testing of one room with mutmut: how many small faults in stage1/<room> do its tests notice?

    python benchmarks/mutation/run.py metrics [--minutes 9] [--retry] [--show NAME] [--tests tests/metrics]

The work happens on a copy of the checkout under build/mutation/<room>; the checkout itself is never changed. A run
that is stopped goes on where it was. README.md beside this file says how to install mutmut.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "mutation"
# mutmut's exit codes of a mutant's tests.
KILLED, SURVIVED, UNTESTED, TIMEOUTS = {1, 3}, {0}, {5, 33}, {24, 36, 152, 255, -24}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room", help="a folder of stage1, such as metrics, or one of its files without .py")
    parser.add_argument("--tests", nargs="*", help="test paths that may kill; default tests/<room>")
    parser.add_argument("--minutes", type=float, default=9.0, help="stop after so long; say it again to go on")
    parser.add_argument("--children", type=int, default=2)
    parser.add_argument("--retry", action="store_true", help="try again what survived, after new tests")
    parser.add_argument("--show", metavar="NAME", help="print the change of one mutant, or 'survived' for all of them")
    arguments = parser.parse_args()
    work = BUILD / arguments.room.replace("/", "-")
    if arguments.show:
        return show(work, arguments.show)
    prepare(work, arguments.room, arguments.tests or [f"tests/{arguments.room}"])
    names = [name for name, code in outcomes(work).items() if code in SURVIVED | UNTESTED] if arguments.retry else []
    finished = run(work, names, arguments.minutes, arguments.children)
    report(work, arguments.room)
    return 0 if finished else 4


def prepare(work: Path, room: str, tests: list[str]) -> None:
    """Bring the copy up to date and write mutmut's settings into it."""
    work.mkdir(parents=True, exist_ok=True)
    for name in ("stage1", "tests", "benchmarks"):
        shutil.rmtree(work / name, ignore_errors=True)
        shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__", "mutation"))
        # mutmut copies what is not mutated only where it is missing.
        shutil.rmtree(work / "mutants" / "tests", ignore_errors=True)
    shutil.copy(ROOT / "pyproject.toml", work)
    shared, link = ROOT.parent / "shared", work / "shared"
    if shared.is_dir() and not link.exists():
        link.symlink_to(shared)  # ../shared of the mutated copy, for the reference values
    lines = ["[mutmut]", "source_paths=stage1", "only_mutate="]
    lines += [f"    stage1/{room}/*.py", f"    stage1/{room}.py"]
    lines += ["pytest_add_cli_args_test_selection=", *(f"    {test}" for test in tests)]
    lines += [
        "pytest_add_cli_args=",
        "    -m",
        "    not long and not gpu and not cluster",
        "    -p",
        "    no:cacheprovider",
    ]
    lines += [
        "also_copy=",
        "    benchmarks",
        "timeout_multiplier=6",
        "timeout_constant=4",
        "use_git_change_detection=false",
        "track_dependencies=false",
    ]
    # A process that a test starts meets mutated code too, and that needs the tool; appended as in mutmut().
    (work / "site").mkdir(exist_ok=True)
    (work / "site" / "sitecustomize.py").write_text(f"import sys\n\nsys.path.append({str(BUILD / 'tool')!r})\n")
    (work / "setup.cfg").write_text("\n".join(lines) + "\n")


def run(work: Path, names: list[str], minutes: float, children: int) -> bool:
    """Run mutmut; return whether it came to its end."""
    command = mutmut("run", "--max-children", str(children), *names)
    process = subprocess.Popen(command, cwd=work, env=environment(work))  # noqa: S603  our own interpreter
    try:
        process.wait(timeout=minutes * 60)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
        print(f"\nStopped after {minutes:g} minutes; the same command goes on.")
        return False
    if process.returncode:
        raise SystemExit(f"mutmut ended with {process.returncode}; do the room's tests pass by themselves?")
    return True


def mutmut(*arguments: str) -> list[str]:
    # Appended, so that the project's own packages win over the tool's.
    code = f"import sys; sys.path.append({str(BUILD / 'tool')!r}); from mutmut.__main__ import cli; cli()"
    return [sys.executable, "-c", code, *arguments]


def environment(work: Path) -> dict[str, str]:
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(BUILD / "hypothesis"),
        "PYTHONPATH": str(work / "site"),
    }


def outcomes(work: Path) -> dict[str, int | None]:
    """Return mutmut's exit code of every mutant; None where it was not tried yet."""
    codes: dict[str, int | None] = {}
    for path in sorted((work / "mutants").rglob("*.meta")):
        codes.update(json.loads(path.read_text())["exit_code_by_key"])
    return codes


def report(work: Path, room: str) -> None:
    """Print the counts as a table and the names of what survived."""
    codes = outcomes(work)
    kinds = {code: kind(code) for code in set(codes.values())}
    counts = Counter(kinds[code] for code in codes.values())
    caught = counts["killed"] + counts["timeout"]
    tried = len(codes) - counts["not tried"]
    share = caught / tried if tried else 0.0
    print(f"\n| room | mutants | {' | '.join(sorted(counts))} | caught |")
    print("|---|---:|" + "---:|" * (len(counts) + 1))
    print(f"| {room} | {len(codes)} | {' | '.join(str(counts[name]) for name in sorted(counts))} | {share:.1%} |\n")
    for name, code in codes.items():
        if kinds[code] not in ("killed", "timeout", "not tried"):
            print(f"{kinds[code]}: {name}")


def kind(code: int | None) -> str:
    if code is None:
        return "not tried"
    for name, known in (("killed", KILLED), ("survived", SURVIVED), ("no test", UNTESTED), ("timeout", TIMEOUTS)):
        if code in known:
            return name
    return f"exit {code}"


def show(work: Path, name: str) -> int:
    names = (
        [key for key, code in outcomes(work).items() if code in SURVIVED | UNTESTED] if name == "survived" else [name]
    )
    for one in names:
        subprocess.run(mutmut("show", one), cwd=work, env=environment(work), check=True)  # noqa: S603
    return 0


if __name__ == "__main__":
    sys.exit(main())
