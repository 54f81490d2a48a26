"""The row about the server: many clients at once, beside a bare hyper file server and nginx; and pull-through."""

import json
import os
import signal
import subprocess

from ground import TREE, Nginx
from measure import MIB, Contest, Failed, wait_until
from report import mebibytes
from rows_transfer import ONE

CLIENTS = 16
# Sixteen curls at once; each throws away what it gets, and all of them must get all.
MANY = 'for i in $(seq "$1"); do curl -sSf -o /dev/null "$0" & p="$p $!"; done; for i in $p; do wait "$i" || exit 1; done'


class Served:
    """A server as a process of its own, which prints its address on its first line."""

    def __init__(self, words, environment=None, folder=None):
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(words, env=environment, cwd=folder, start_new_session=True, **how)
        line = self.process.stdout.readline().strip()
        if not line:
            raise Failed(f"{words[0]} does not serve: {self.process.stderr.read()[-300:]}")
        self.address = line.rsplit("/", 1)[-1]
        self.url = f"http://{self.address}"

    def peak(self):
        """Bytes of memory that it held at most."""
        with open(f"/proc/{self.process.pid}/status") as status:
            held = next(line for line in status if line.startswith("VmHWM:"))
        return int(held.split()[1]) << 10

    def cpu(self):
        """Seconds of CPU that it took so far."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        if not wait_until(lambda: self.process.poll() is not None, 10):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def bare(world):
    """The yardstick's program, built as the release is."""
    build = ["cargo", "bench", "--quiet", "--locked", "--bench", "bare", "--no-run", "--message-format=json"]
    answer = subprocess.run(build, cwd=TREE, capture_output=True, text=True)
    told = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    made = [one["executable"] for one in told if one.get("target", {}).get("name") == "bare" and one.get("executable")]
    if answer.returncode != 0 or not made:
        raise Failed(f"cargo bench: {answer.stderr.strip()[-300:]}")
    return Served([made[0], str(world.registry)])


def clients(url, number=CLIENTS):
    return lambda: ["sh", "-c", MANY, url, str(number)]


def serve(world, report):
    """16 curls at once of one blob to /dev/null: mpm serve beside a bare hyper file server and nginx; pull-through of the same"""
    release = world.release("served", {ONE: world.scaled(256 * MIB, 1 << 20)})
    route, size = release.route(ONE), release.sizes[ONE]
    ours = world.keep(Served([world.mpm, "serve", world.registry, "--listen", "127.0.0.1:0", "--scrub", "0"], world.environment()))
    chunks = ["--verify", "chunks"]
    checked = world.keep(
        Served([world.mpm, "serve", world.registry, "--listen", "127.0.0.1:0", "--scrub", "0", *chunks], world.environment())
    )
    nginx = world.keep(Nginx(world.folder / f"nginx{world.number()}", world.registry))
    contest = Contest(world, [release.blob(ONE)])
    contest.enter("mpm", clients(ours.url + route), "curl")
    try:
        plain = world.keep(bare(world))
        contest.enter("bare hyper", clients(plain.url + route), "curl")
    except Failed as failure:
        plain = None
        contest.failures["bare hyper"] = str(failure)
    contest.enter("nginx", clients(nginx.url + route), "curl")
    contest.enter("mpm --verify chunks", clients(checked.url + route), "curl")
    contest.run(world.pairs, settle=False)
    label = f"{CLIENTS} curls of {mebibytes(size)} to /dev/null"
    # A target of 1.11 is 0.9 of its throughput.
    report.compare(label, contest, "bare hyper", 1.11)
    report.compare(label, contest, "nginx")
    report.compare(f"{label}, each chunk compared", contest, "bare hyper", ours="mpm --verify chunks")
    for name, server in (("record", ours), ("chunks", checked)):
        peak = server.peak()
        report.line(f"peak memory of the server, --verify {name}", ours=mebibytes(peak), target="≤ 128 MiB", met=peak <= 128 * MIB)
    if plain:
        rounds = len(contest.runs["mpm"]) + 1
        report.note(f"CPU of the server a round: mpm {ours.cpu() / rounds:.2f} s, bare hyper {plain.cpu() / rounds:.2f} s")
    report.seen(label, contest)
    for server in [ours, checked, nginx] + ([plain] if plain else []):
        world.end(server)
    through(world, report, release)


def through(world, report, release):
    """The same blob pulled through by a server that has nothing: what the upstream sent."""
    upstream, route, size = world.serve(), release.route(ONE), release.sizes[ONE]
    world.fresh("home")
    project = world.project("through", [release.key], upstream.url, sync=False)
    words = [world.mpm, "-C", project, "serve", "--listen", "127.0.0.1:0", "--scrub", "0", "--pull-through", "bench"]
    server = world.keep(Served(words, world.environment()))
    statement = (world.registry / "packages" / f"{release.key}.jsonl").read_text().split('"sha256":"')[1].split('"')[0]
    subprocess.run(["curl", "-sSf", "-o", os.devnull, f"{server.url}/releases/{statement}.json"], check=True)
    mark = upstream.mark()
    run = world.measured(clients(server.url + route)())
    requests, sent = upstream.since(mark, "blobs/")
    met = sent <= size * 1.03
    report.line(
        f"pull-through, {CLIENTS} curls at once of {mebibytes(size)}: sent by the upstream",
        ours=f"{mebibytes(sent)} in {requests} requests, wall {run.wall:.2f} s",
        target="each byte once",
        met=met,
    )
    report.line("peak memory of the server, pull-through", ours=mebibytes(server.peak()), target="≤ 128 MiB", met=server.peak() <= 128 * MIB)
    world.end(server)
