"""Each parser of foreign bytes under atheris, which looks for bytes that reach new lines of ours: `make fuzz`.

`python -m tests.fuzz [--seconds=N] [NAME…]` runs those of tests/parsers.py, each in a process of its own, as many at a
time as there are cores, and tells how many inputs each had. What breaks one is printed, in Base64, and the exit is 1.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import atheris

# What the fuzzer is to look into must be imported under its eyes.
with atheris.instrument_imports(include=["larix", "tarfile"]):
    from tests.parsers import PARSE, all_parsers

# Bytes of one input; and of address space no more than this, in MiB.
LONGEST = 1 << 16
MEMORY = 2048


def fuzz(name: str, folder: str, seconds: int) -> None:
    """In this process, which ends with it."""
    parser = all_parsers()[name]
    corpus = Path(folder) / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(parser.seeds):
        (corpus / str(number)).write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-rss_limit_mb={MEMORY}", "-timeout=20"]
    words = [sys.argv[0], str(corpus), f"-artifact_prefix={folder}/", "-print_final_stats=1", "-verbosity=1", *limits]
    atheris.Setup(words, parser.check)
    atheris.Fuzz()


def run(name: str, seconds: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "tests.fuzz", f"--seconds={seconds}", f"--inside={folder}", name]
        done = subprocess.run(words, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, errors="replace")
        found = re.search(r"stat::number_of_executed_units: *(\d+)", done.stdout)
        covered = re.findall(r"cov: (\d+)", done.stdout)
        inputs, edges = found[1] if found else "?", covered[-1] if covered else "?"
        print(
            f"{name:20} {inputs:>9} inputs, {edges:>5} edges, {'ok' if done.returncode == 0 else 'BROKEN'}", flush=True
        )
        if done.returncode != 0:
            print(done.stdout[-6000:], flush=True)
    return done.returncode == 0


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("names", nargs="*")
    options.add_argument("--seconds", type=int, default=180)
    options.add_argument("--inside")
    args = options.parse_args()
    names = args.names or list(PARSE)
    if args.inside:
        fuzz(names[0], args.inside, args.seconds)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return 0 if all(list(pool.map(lambda name: run(name, args.seconds), names))) else 1


if __name__ == "__main__":
    sys.exit(main())
