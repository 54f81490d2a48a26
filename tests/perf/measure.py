"""Measured runs: one program at a time, and several against each other in alternating rounds."""

import json
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
# A run that takes longer is ended, seconds.
RUN_LIMIT = 900
# After so many seconds a row starts no further round.
ROW_LIMIT = 1500


class Failed(Exception):
    """A program did not end well, or can't be had."""


@dataclass
class Run:
    """What one run took: seconds, bytes of memory, and what the server counted meanwhile."""

    wall: float
    cpu: float
    peak: int
    said: str = ""
    requests: int = 0
    sent: int = 0


class Launcher:
    """The small process that starts what is measured."""

    def __init__(self, folder):
        self.folder = folder
        words = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py"))]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.running, self.answers = None, b""

    def close(self):
        self.kill()
        self.process.stdin.close()
        self.process.wait()

    def kill(self):
        """Ends what runs now, with all that it started."""
        if self.running:
            try:
                os.killpg(self.running, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def start(self, words, environment, folder=None, user=None):
        program = shutil.which(str(words[0]), path=environment["PATH"])
        if not program:
            raise Failed(f"{Path(words[0]).name} is missing")
        job = {
            "words": [program, *(str(word) for word in words[1:])],
            "environment": environment,
            "folder": str(folder or self.folder),
            "errors": str(self.folder / "errors"),
            "output": str(self.folder / "output"),
            "user": user,
        }
        self.words = " ".join(job["words"])[:200]
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        self.running = int(self.answer(RUN_LIMIT) or 0)
        return self.running

    def answer(self, limit):
        """The next line, or None where none comes in time. Read by hand: a reader that holds lines back can't be waited for."""
        while b"\n" not in self.answers:
            if not select.select([self.process.stdout], [], [], limit)[0]:
                return None
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            if not more:
                raise Failed("the launcher ended")
            self.answers += more
        line, self.answers = self.answers.split(b"\n", 1)
        return line

    def ended(self):
        """Whether what was started has ended."""
        return b"\n" in self.answers or bool(select.select([self.process.stdout], [], [], 0)[0])

    def finish(self, limit=RUN_LIMIT):
        """Waits for what was started; any status but 0 is a failure, whose text is in `Failed`."""
        line = self.answer(limit)
        if line is None:
            self.kill()
        answer = json.loads(line or self.answer(limit) or b"{}")
        self.running = None
        said = (self.folder / "errors").read_text(errors="replace").strip()
        if line is None:
            raise Failed(f"took longer than {limit} s: {self.words}")
        if answer["status"] != 0:
            raise Failed(f"{self.words} ended with {answer['status']}: {said[-300:]}")
        return Run(answer["wall"], answer["cpu"], answer["peak"], said)


class Contest:
    """Alternating rounds of several programs; one round before them does not count."""

    def __init__(self, world, warm=(), servers=()):
        self.world, self.warm, self.servers = world, warm, servers
        self.entries, self.runs, self.failures = {}, {}, {}

    def enter(self, name, command, needs=None, **how):
        """`command` lays the ground and answers the words to run; `needs` is a program that may be missing;
        `how` says for whom and with which environment, and which servers count instead of the contest's."""
        if needs and not needs_met(needs):
            self.failures[name] = f"{Path(needs).name} is missing"
        else:
            self.entries[name], self.runs[name] = (command, how), []
        return self

    def run(self, pairs, settle=True, rehearsal=True):
        for number in range(0 if rehearsal else 1, pairs + 1):
            for name in list(self.entries):
                try:
                    run = self.once(name, settle)
                except Failed as failure:
                    self.failures[name] = str(failure)
                    del self.entries[name]
                    continue
                if number:
                    self.runs[name].append(run)
            if number and self.world.late():
                break
        return self

    def once(self, name, settle):
        command, how = self.entries[name]
        words = command()
        if settle:
            # What earlier runs left to be written is not this one's to pay for.
            os.sync()
        for path in self.warm:
            read_again(path)
        return self.world.measured(words, **{"servers": self.servers, **how})

    def median(self, name, what="wall"):
        runs = self.runs.get(name)
        return statistics.median(getattr(run, what) for run in runs) if runs else None

    def ratio(self, ours, theirs, what="wall"):
        """The median of the ratios of each round."""
        pairs = list(zip(self.runs.get(ours, []), self.runs.get(theirs, []), strict=False))
        if not pairs:
            return None
        return statistics.median(getattr(one, what) / max(getattr(other, what), 1e-9) for one, other in pairs)

    def best(self, *names):
        """The fastest of these that ran."""
        there = [name for name in names if self.runs.get(name)]
        return min(there, key=self.median, default=None)


def needs_met(path):
    """Whether a program is there: a path, or a name to look up."""
    return shutil.which(str(path)) is not None


def read_again(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 22):
            pass


def wait_until(condition, seconds, pause=0.01):
    """Polls; answers whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True
