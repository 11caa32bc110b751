"""The measurements of `ci/bench`: bench.py BINARY SCRATCH [--rounds N] [a b c d e f].

Every round measures ours and the baseline one after the other, so that a busy machine slows both; the table shows the
smallest, middle and largest of the rounds' values. Standard library only.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

LIB = Path(__file__).resolve().parent
BASELINE = str(LIB / "baseline.sh")


class Bench:
    """The binary under test and the directories it works on."""

    def __init__(self, binary: str, scratch: str, rounds: int):
        self.binary = binary
        self.scratch = Path(scratch)
        self.rounds = rounds
        self.rows = []

    def context(self, name: str, dockerfile: str) -> Path:
        """A context with the small root file system and this Dockerfile."""
        path = self.scratch / name
        path.mkdir(parents=True)
        shutil.copy(os.environ["LIAN_TEST_BASE_TAR"], path / "base.tar")
        (path / "Dockerfile").write_text(f"FROM scratch\nADD base.tar /\n{dockerfile}\n")
        return path

    def ours(self, context: Path, *arguments: str, cache_gb: str = "0", workspace: str = "bench") -> dict:
        """One `lian-build build`: its envelope, its wall time, its peak memory and when its first step began."""
        environment = dict(os.environ, LIAN_LOCAL_CACHE_GB=cache_gb)
        command = [self.binary, "build", str(context), "--provider", "local", "--workspace", workspace]
        command += ["--progress", "plain", "--format", "json", *arguments]
        started = time.monotonic()
        with open(self.scratch / "stderr.log", "wb") as log:
            child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            times = {}
            reader = threading.Thread(target=watch_lines, args=(child.stderr, log, times))
            reader.start()
            sampler = threading.Thread(target=watch_memory, args=(child.pid, times))
            sampler.start()
            out = child.stdout.read()
            status = child.wait()
            wall = time.monotonic() - started
            reader.join()
            sampler.join()
        if status != 0:
            sys.exit(f"{' '.join(command)}: exit {status}\n{out.decode()}\n{(self.scratch / 'stderr.log').read_text()[-3000:]}")
        return {"wall": wall, "envelope": json.loads(out), **times}

    def baseline(self, *arguments: str) -> dict:
        """One run of the hand-written script."""
        return json.loads(subprocess.run([BASELINE, *arguments], check=True, stdout=subprocess.PIPE).stdout)

    def row(self, name: str, values: list, aim, unit: str = "", note: str = "") -> None:
        self.rows.append((name, min(values), statistics.median(values), max(values), aim, unit, note))

    def table(self) -> int:
        """Prints the table. The exit code is 1 when a middle value misses its aim."""
        missed = 0
        print(f"{'':44} {'min':>9} {'median':>9} {'max':>9} {'aim':>9}")
        for name, low, middle, high, aim, unit, note in self.rows:
            verdict = "" if aim is None else "met" if middle <= aim else "MISSED"
            missed += verdict == "MISSED"
            shown = "-" if aim is None else f"{aim:.2f}"
            print(f"{name:44} {low:9.2f} {middle:9.2f} {high:9.2f} {shown:>9} {unit:5} {verdict:6} {note}")
        return 1 if missed else 0

    def wall_and_first_step(self, want_wall: bool, want_first_step: bool) -> None:
        """(a) and (e): the same builds give both."""
        # Some seconds of work in the step: a build that does nothing would measure start-up alone.
        context = self.context("small", "RUN i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; echo $i >/result")
        result = str(self.scratch / "result.tar")
        cache = self.scratch / "baseline-cache"
        for state in ("cold", "cached"):
            ratios, first, ours_s, theirs_s = [], [], [], []
            if state == "cached":
                self.ours(context, "-o", f"type=oci,dest={result}", cache_gb="10")
                self.baseline("build", str(context), str(cache), result)
            for _ in range(self.rounds):
                theirs = self.baseline("build", str(context), str(cache) if state == "cached" else "-", result)
                ours = self.ours(context, "-o", f"type=oci,dest={result}", cache_gb="10" if state == "cached" else "0")
                ratios.append(ours["wall"] / theirs["total"])
                ours_s.append(ours["wall"])
                theirs_s.append(theirs["total"])
                if "first_step" in ours and "ready" in ours:
                    first.append((ours["first_step"] - ours["ready"]) / theirs["first_step"])
            note = f"{statistics.median(ours_s):.2f} s over {statistics.median(theirs_s):.2f} s"
            if want_wall:
                self.row(f"a  build over the hand-written script, {state}", ratios, 1.10, "x", note)
            if want_first_step and first:
                self.row(f"e  lease ready to first step, {state}", first, None, "x")

    def sync(self) -> None:
        """(b): 20,000 files of 0 to 4 KB in 200 directories."""
        context = self.context("many", "RUN true")
        for number in range(20_000):
            directory = context / f"dir{number % 200:03}"
            directory.mkdir(exist_ok=True)
            (directory / f"file{number:05}").write_bytes(b"x" * (number * 7919 % 4096))
        ratios, ours_s, theirs_s = [], [], []
        for _ in range(self.rounds):
            theirs = self.baseline("rsync", str(context))["rsync"]
            ours = self.ours(context, "-o", f"type=oci,dest={self.scratch}/result.tar")
            seconds = ours["envelope"]["attempts"][-1]["seconds"]["sync"]
            ratios.append(seconds / theirs)
            ours_s.append(seconds)
            theirs_s.append(theirs)
        note = f"{statistics.median(ours_s):.2f} s over {statistics.median(theirs_s):.2f} s"
        self.row("b  sync of 20,000 files over rsync -a", ratios, 1.10, "x", note)

    def memory(self) -> None:
        """(c): the peak of the process itself; its children are other programs."""
        context = self.context("lines", "RUN seq 1 1000000")
        peaks = [
            self.ours(context, "-o", f"type=oci,dest={self.scratch}/result.tar")["peak_kb"] / 1000 for _ in range(self.rounds)
        ]
        self.row("c  resident memory at 1,000,000 lines", peaks, 40, "MB")

    def plan(self) -> None:
        """(d): a context with a spec, so that Nickel is evaluated."""
        context = self.context("plan", "RUN true")
        (context / ".build-spec.ncl").write_text("{ schema_version = 1, cpu = 1, memory_gb = 1 }\n")
        command = [self.binary, "plan", str(context), "--provider", "local", "--workspace", "bench", "--format", "json"]
        milliseconds = []
        for _ in range(self.rounds * 4):
            started = time.monotonic()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            milliseconds.append((time.monotonic() - started) * 1000)
        self.row("d  plan, start to finish", milliseconds, 60, "ms")

    def pool(self) -> None:
        """(f): what a pool itself costs; caller and pool share the machine. An error anywhere is a failure."""
        program = str(Path(self.binary).parent / "examples" / "pool_bench")
        rounds = []
        for _ in range(self.rounds):
            out = subprocess.run([program], check=True, stdout=subprocess.PIPE).stdout
            rounds.append(json.loads(out))
            if rounds[-1]["errors"] or rounds[-1]["held_at_the_end"] != rounds[-1]["held"]:
                sys.exit(f"pool_bench: {out.decode()}")
        held = rounds[0]["held"]
        self.row(f"f  creates a second, {held} leases held", [one["creates_per_s"] for one in rounds], None, "/s")
        for name in ("create", "until_ready", "get", "renew", "release"):
            for share in ("p50", "p95", "p99"):
                self.row(f"f  {name.replace('_', ' ')}, {share}", [one[f"{name}_ms"][share] for one in rounds], None, "ms")


def watch_lines(stream, log, times: dict) -> None:
    """Copies the child's stderr to a file; notes when the lease was ready (the sync begins) and when the first step showed."""
    for line in stream:
        now = time.monotonic()
        if "ready" not in times and line.startswith(b"==> sync"):
            times["ready"] = now
        if "first_step" not in times and re.match(rb"#\d+ ", line):
            times["first_step"] = now
        log.write(line)


def watch_memory(pid: int, times: dict) -> None:
    """The high-water mark the kernel keeps for the process, read until the process is gone."""
    while True:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        if peak is None:
            return
        times["peak_kb"] = int(peak[1])
        time.sleep(0.02)


def main() -> int:
    binary, scratch, *rest = sys.argv[1:]
    rounds = 5
    if rest[:1] == ["--rounds"]:
        rounds, rest = int(rest[1]), rest[2:]
    wanted = rest or ["a", "b", "c", "d", "e", "f"]
    unknown = set(wanted) - set("abcdef")
    if unknown:
        sys.exit(f"unknown measurement {' '.join(sorted(unknown))}: a b c d e f")
    bench = Bench(binary, scratch, rounds)
    if "a" in wanted or "e" in wanted:
        bench.wall_and_first_step("a" in wanted, "e" in wanted)
    if "b" in wanted:
        bench.sync()
    if "c" in wanted:
        bench.memory()
    if "d" in wanted:
        bench.plan()
    if "f" in wanted:
        bench.pool()
    return bench.table()


if __name__ == "__main__":
    sys.exit(main())
