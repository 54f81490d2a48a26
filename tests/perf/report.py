"""What is printed, kept as JSON, and written into docs/performance.md."""

import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent.parent
MIB = 1 << 20
BEGIN, END = "<!-- written by tests/perf/run --write -->", "<!-- end of what tests/perf/run --write writes -->"
VERDICTS = ["row", "workload", "beside", "mpm", "the other", "ratio", "target", "met"]
SEEN = ["row", "workload", "who", "wall", "CPU", "peak memory", "requests", "sent by the server"]


class Report:
    """Lines of one row at a time: verdicts, what each program took, and notes."""

    def __init__(self, scale, command, mpm):
        self.scale, self.command = scale, command
        # What is replaced in all that is said: places of this machine.
        self.hidden = {f"{mpm}": "mpm", sys.executable: "python3", f"{TREE}/": ""}
        self.mpm = hashlib.sha256(mpm.read_bytes()).hexdigest()
        self.rows, self.row = {}, ""

    def begin(self, row):
        now = datetime.datetime.now(datetime.timezone.utc)
        self.row = row
        about = {"date": f"{now:%Y-%m-%d}", "command": self.command, "build": self.mpm[:12]}
        self.rows[row] = {**about, "lines": [], "seen": [], "notes": []}

    def line(self, workload, beside="", ours="", theirs="", ratio=None, target="", met=None):
        """One figure beside its yardstick. `met` is whether the target is; None where there is none."""
        word = {True: "yes", False: "no", None: ""}[met]
        said = "" if ratio is None else f"{ratio:.2f}"
        cells = [self.row, *map(self.shown, (workload, beside, ours, theirs)), said, target, word]
        self.rows[self.row]["lines"].append(cells)
        verdict = f"   target {target}: {'met' if met else 'missed'}" if word else ""
        ratio_text = f"   {said} x" if said else ""
        other = f" beside {theirs or '?'} of {beside}" if beside else ""
        print(f"{self.row:<8} {workload:<46} {ours}{other}{ratio_text}{verdict}", flush=True)

    def note(self, text):
        text = self.shown(text)
        self.rows[self.row]["notes"].append(text)
        print(f"{self.row:<8} {text}", flush=True)

    def shown(self, text):
        for path, word in self.hidden.items():
            text = text.replace(path, word)
        return " ".join(text.split())

    def compare(self, workload, contest, theirs, target=None, what="wall", ours="mpm"):
        """The line of two programs of a contest."""
        show, unit = SHOWN[what]
        label = f"{workload}: {unit}" if unit else workload
        if not contest.runs.get(ours):
            self.line(workload, theirs, "failed", target=f"≤ {target}" if target else "", met=False if target else None)
            return self.note(f"{workload}: {ours} failed: {contest.failures.get(ours)}")
        one = show(contest.median(ours, what))
        if not contest.runs.get(theirs):
            return self.line(label, theirs, one, contest.failures.get(theirs, "did not run"))
        ratio = contest.ratio(ours, theirs, what)
        wanted = f"≤ {target}" if target else ""
        met = ratio <= target if target else None
        return self.line(label, theirs, one, show(contest.median(theirs, what)), ratio, wanted, met)

    def seen(self, workload, contest):
        """What each program of a contest took."""
        for name, runs in contest.runs.items():
            if not runs:
                continue
            wall, cpu = seconds(contest.median(name)), seconds(contest.median(name, "cpu"))
            peak = mebibytes(max(run.peak for run in runs))
            server = ["", ""]
            if any(run.requests for run in runs):
                server = [f"{contest.median(name, 'requests'):.0f}", mebibytes(contest.median(name, "sent"))]
            self.rows[self.row]["seen"].append([self.row, workload, name, wall, cpu, peak, *server])
            counted = f"   {server[0]} requests, {server[1]}" if server[0] else ""
            print(f"         {name:<28} wall {wall}   CPU {cpu}   peak {peak}{counted}", flush=True)

    def document(self, folder):
        return {"machine": machine(folder), "scale": self.scale, "mpm": self.mpm, "rows": self.rows}


def seconds(count):
    return f"{count:.2f} s" if count >= 1 else f"{count * 1000:.1f} ms" if count < 0.1 else f"{count * 1000:.0f} ms"


def mebibytes(count):
    return f"{count / MIB:.2f} MiB" if count < 10 * MIB else f"{count / MIB:.0f} MiB"


# How a figure is shown, and what it is called where it is not wall time.
SHOWN = {
    "wall": (seconds, ""),
    "cpu": (seconds, "CPU"),
    "sent": (mebibytes, "bytes sent"),
    "requests": (lambda count: f"{count:.0f}", "requests"),
}


def machine(folder):
    """Cores, CPU, memory, file system and kernel; nothing that tells which machine it is."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    kernel = re.match(r"\d+(\.\d+)*", os.uname().release)
    words = ["stat", "--file-system", "--format=%T", str(folder)]
    kind = subprocess.run(words, capture_output=True, text=True).stdout.strip().replace("ext2/ext3", "ext4")
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model[1].strip() if model else '?'}, {memory} GiB, {kind}, Linux {kernel[0] if kernel else '?'}"


def merge(kept, document):
    """Adds rows to those kept of the same machine at the same scale; anything else is forgotten. Each says of which build it is."""
    old = json.loads(kept.read_text()) if kept.is_file() else {}
    if all(old.get(key) == document[key] for key in ("scale", "machine")):
        document = {**document, "rows": {**old["rows"], **document["rows"]}}
    kept.write_text(json.dumps(document, indent=1, ensure_ascii=False))
    return document


def write(page, document, order):
    """Puts the tables between the page's two markers; prose stays."""
    text = page.read_text()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    page.write_text(f"{before}{BEGIN}\n\n{tables(document, order)}\n{END}{after}")


def tables(document, order):
    rows = [document["rows"][name] for name in order if name in document["rows"]]
    if not rows:
        return "Nothing was measured yet.\n"
    dates = sorted({row["date"] for row in rows})
    scale = "as stated" if document["scale"] == 1 else f"sizes and counts times {document['scale']}"
    head = [f"Machine: {document['machine']}. Date: {' to '.join(dict.fromkeys((dates[0], dates[-1])))}. Scale: {scale}.", ""]
    builds = {}
    for name in order:
        if name in document["rows"]:
            builds.setdefault(document["rows"][name]["build"], []).append(name)
    if len(builds) > 1:
        told = "; ".join(f"{build}: {', '.join(names)}" for build, names in builds.items())
        head += [f"Builds of `mpm`, by the first digits of their sha256: {told}.", ""]
    head += ["Made with:", "", "```sh", *dict.fromkeys(row["command"] for row in rows), "```", ""]
    body = table(VERDICTS, [line for row in rows for line in row["lines"]])
    notes = [f"* {name}: {note}" for name in order if name in document["rows"] for note in document["rows"][name]["notes"]]
    body += ["", *notes, ""] if notes else [""]
    body += ["What each program took, medians (of memory the highest):", ""]
    body += table(SEEN, [line for row in rows for line in row["seen"]])
    return "\n".join(head + body) + "\n"


def table(heads, lines):
    clean = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return [f"| {' | '.join(cells)} |" for cells in ([*heads], ["---"] * len(heads), *clean)]
