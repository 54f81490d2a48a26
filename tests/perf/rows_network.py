"""Rows about worse networks: a slow line, a far server, caps, silence, resets, and bases that lie or are slow."""

import os
import shutil
import subprocess

import content
from ground import Nginx, Relay
from measure import MIB, Contest, Failed
from report import mebibytes
from rows_transfer import ONE, into, rclone

RATE = "100mbit"
AGAIN = 'i=0; while [ $i -lt 400 ]; do curl -sS -f -C - -o "$0/b" "$1" 2>/dev/null && exit 0; i=$((i + 1)); done; exit 1'


class Line:
    """Two network namespaces and a pair of virtual cards between them; the server's sends through tc tbf."""

    near, far = "10.77.0.1", "10.77.0.2"

    def __init__(self, world, rate):
        self.user = [] if os.geteuid() == 0 else ["-r"]
        self.holders = []
        self.client = self.hold(["unshare", *self.user, "-n"])
        self.server = self.hold([*self.client, "unshare", "-n"])
        beyond = self.holders[1].pid
        self.set(self.client, f"ip link add near type veth peer name far netns {beyond}")
        for side, card, address in ((self.client, "near", self.near), (self.server, "far", self.far)):
            self.set(side, "ip link set lo up")
            self.set(side, f"ip address add {address}/24 dev {card}")
            self.set(side, f"ip link set {card} up")
        self.set(self.server, f"tc qdisc add dev far root tbf rate {rate} burst 128kb latency 50ms")
        world.keep(self)

    def hold(self, words):
        """A process that keeps a namespace until it is closed; answers the words that enter it."""
        how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        holder = subprocess.Popen([*words, "sh", "-c", "echo there; exec cat"], **how)
        self.holders.append(holder)
        if holder.stdout.readline() != "there\n":
            self.fail(f"no network namespace: {holder.stderr.read().strip()}")
        user = ["-U", "--preserve-credentials"] if self.user else []
        return ["nsenter", "-t", str(holder.pid), *user, "-n", "--"]

    def set(self, side, words):
        answer = subprocess.run([*side, *words.split()], capture_output=True, text=True)
        if answer.returncode != 0:
            what = "tbf is missing" if words.startswith("tc ") else words
            self.fail(f"{what}: {answer.stderr.strip()}")

    def fail(self, why):
        self.close()
        raise Failed(why)

    def close(self):
        for holder in reversed(self.holders):
            holder.stdin.close()
            holder.wait()
        self.holders = []


def blob(world, size):
    return world.release(f"net{size // MIB}", {ONE: world.scaled(size, 1 << 20)})


def best_of(report, label, contest, *yardsticks):
    """Beside the fastest yardstick that ran: at least 0.9 of its throughput."""
    best = contest.best(*yardsticks)
    for name in yardsticks:
        report.compare(label, contest, name, 1.11 if name == best else None)
    if best:
        report.note(f"{label}: the best yardstick is {best}; a target of 1.11 is 0.9 of its throughput")
    report.seen(label, contest)


def rivals(contest, world, url, inside=()):
    """curl, aria2c with eight connections and rclone with four streams."""
    enter = [*inside]
    contest.enter("curl -o", into(world, [*enter, "curl", "-sSf", "-o", "TO/blob", url]), "curl")
    words = ["aria2c", "--quiet", "--no-conf", "-x8", "-s8", "-k1M", "--file-allocation=none", "-d", "TO", "-o", "blob", url]
    contest.enter("aria2c -x8", into(world, [*enter, *words]), "aria2c")
    contest.enter("rclone copy", rclone(world, url, inside), "rclone")
    return contest


def slow_line(world, report):
    """cold sync of 128 MiB over 100 Mbit/s (tc tbf between two network namespaces) beside the best of curl, aria2c, rclone"""
    release = blob(world, 128 * MIB)
    line = Line(world, RATE)
    server = world.keep(Nginx(world.folder / f"nginx{world.number()}", world.registry, address=line.far, inside=line.server))
    network = f'[network]\nallow-http = ["{server.address}"]\nallow-private = ["{line.far}"]\n'
    world.fresh("home")
    world.configure(network)
    project = world.project("slow", [release.key], server.url, sync=False, inside=line.client)
    url = server.url + release.route(ONE)
    contest = Contest(world, [release.blob(ONE)], [server])
    contest.enter("mpm", world.cold(project, network, line.client))
    rivals(contest, world, url, line.client).run(world.pairs, rehearsal=False)
    label = f"slow line (tbf {RATE}), {mebibytes(release.sizes[ONE])}"
    best_of(report, label, contest, "curl -o", "aria2c -x8", "rclone copy")
    world.end(server)
    world.end(line)


def through(world, release, *options):
    """A relay, a project that is locked through it, and the blob's address there."""
    relay = world.keep(Relay(world.serve(), *options))
    world.fresh("home")
    project = world.project(f"relayed{world.number()}", [release.key], relay.url, sync=False)
    return relay, project, relay.url + release.route(ONE)


def far(world, report):
    """cold sync of 256 MiB from a server 40 ms away in each direction (relay)"""
    release = blob(world, 256 * MIB)
    relay, project, url = through(world, release, "--delay", 0.04)
    contest = Contest(world, [release.blob(ONE)], [world.serve()]).enter("mpm", world.cold(project))
    rivals(contest, world, url).run(world.pairs, rehearsal=False)
    label = f"far server (relay, 40 ms each way), {mebibytes(release.sizes[ONE])}"
    best_of(report, label, contest, "curl -o", "aria2c -x8", "rclone copy")
    world.end(relay)


def capped(world, report):
    """cold sync of 256 MiB from a server that gives each connection 20 MiB/s (relay)"""
    release = blob(world, 256 * MIB)
    relay, project, url = through(world, release, "--rate", 20 * MIB)
    contest = Contest(world, [release.blob(ONE)], [world.serve()]).enter("mpm", world.cold(project))
    rivals(contest, world, url).run(world.pairs, rehearsal=False)
    label = f"capped per connection (relay, 20 MiB/s), {mebibytes(release.sizes[ONE])}"
    best_of(report, label, contest, "curl -o", "aria2c -x8", "rclone copy")
    world.end(relay)


def stalls(world, report):
    """cold sync of 256 MiB where each connection is silent for 10 s after each quarter of that (relay), beside curl --retry"""
    release = blob(world, 256 * MIB)
    size = release.sizes[ONE]
    relay, project, url = through(world, release, "--stall-after", size // 4 + 4096, "--stall-for", 10)
    contest = Contest(world, [release.blob(ONE)], [world.serve()]).enter("mpm", world.cold(project))
    contest.enter("curl --retry", into(world, ["curl", "-sSf", "--retry", "9", "-o", "TO/blob", url]), "curl")
    contest.run(min(world.pairs, 3), rehearsal=False)
    label = f"stalls (relay, 10 s after each {mebibytes(size // 4)}), {mebibytes(size)}"
    report.compare(label, contest, "curl --retry", 1.0)
    report.seen(label, contest)
    world.end(relay)


def resets(world, report):
    """cold sync of 256 MiB where each connection is reset after 20 MB (relay), beside curl -C - in a loop"""
    release = blob(world, 256 * MIB)
    after = world.scaled(20_000_000, 100_000)
    relay, project, url = through(world, release, "--reset-after", after)
    contest = Contest(world, [release.blob(ONE)], [world.serve()]).enter("mpm", world.cold(project))
    contest.enter("curl -C - in a loop", into(world, ["sh", "-c", AGAIN, "TO", url]), "curl")
    contest.run(world.pairs, rehearsal=False)
    size = release.sizes[ONE]
    label = f"resets (relay, every {after / 1e6:.1f} MB), {mebibytes(size)}"
    report.compare(label, contest, "curl -C - in a loop", 1.0)
    report.seen(label, contest)
    world.end(relay)


def bases(world, report):
    """two bases, one fast that lies on every tenth MiB and one slow (relay), beside the slow honest one alone"""
    release = blob(world, 256 * MIB)
    size = release.sizes[ONE]
    relay, project, _ = through(world, release, "--rate", 40 * MIB)
    lying = world.fresh("lying")
    shutil.copytree(world.registry / "blobs", lying / "blobs")
    (lying / release.route(ONE)[1:]).chmod(0o644)
    # Behind the header of safetensors, in the middle of a MiB.
    every = 10 * MIB if size > 20 * MIB else size // 4
    content.spoil(lying / release.route(ONE)[1:], every, every // 20 + 4096)
    liar = world.serve(root=lying)
    mirrors = f'[mirrors]\n"sha256:{world.root}" = ["{liar.url}/"]\n'
    contest = Contest(world, [release.blob(ONE)], [liar, world.serve()])
    contest.enter("mpm, both bases", world.cold(project, mirrors)).enter("mpm, the honest one", world.cold(project))
    contest.run(world.pairs, rehearsal=False)
    label = f"a liar and a slow base (relay, 40 MiB/s a connection), {mebibytes(size)}"
    report.compare(label, contest, "mpm, the honest one", 1.2, ours="mpm, both bases")
    named = [liar.address in run.said for run in contest.runs["mpm, both bases"]]
    if named:
        report.line(f"{label}: runs that name the liar", ours=f"{sum(named)} of {len(named)}", target="all", met=all(named))
    report.seen(label, contest)
    world.end(relay)

