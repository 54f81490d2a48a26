"""Rows about bytes that travel over loopback: P1 to P4, P9, P10."""

import json
import random
import shutil
import time

import content
import peers
from ground import Relay
from measure import MIB, Contest, Failed, wait_until
from report import mebibytes

GIB = 1 << 30
ONE = "one.safetensors"
# What a second run asks of the index again, and heads of answers.
INDEX = 128 * 1024


def one_blob(world):
    """P1's release, shared with P2 and P3."""
    return world.release("one", {ONE: world.scaled(2 * GIB, 64 * 1024)})


def cold_project(world, release):
    """A locked project of one release, made once."""
    project = world.folder / f"cold-{release.key.replace('/', '-')}"
    return project if project.exists() else world.project(project.name, [release.key], sync=False)


def into(world, words):
    """A command that writes to a fresh folder."""
    return lambda: [word.replace("TO", str(world.folder / "other")) for word in map(str, words)] if world.fresh("other") else []


def curl(world, url):
    return into(world, ["curl", "--silent", "--show-error", "--fail", "-o", "TO/blob", url])


def shell(world, script, *arguments):
    """A script of sh in a fresh folder, $0."""
    return into(world, ["sh", "-c", script, "TO", *arguments])


def cold_sync(world, report):
    """cold sync of one blob of 2 GiB beside curl -o, which checks nothing and syncs nothing"""
    release = one_blob(world)
    server = world.serve()
    url = server.url + release.route(ONE)
    contest = Contest(world, [release.blob(ONE)], [server])
    contest.enter("mpm", world.cold(cold_project(world, release)))
    contest.enter("curl -o", curl(world, url), "curl")
    contest.enter("curl -o, sync", shell(world, 'curl -sSf -o "$0/b" "$1" && sync "$0/b"', url), "curl")
    pipe = 'curl -sSf "$1" | tee "$0/b" | openssl dgst -sha256'
    contest.enter("curl, tee, openssl dgst", shell(world, pipe, url), "openssl")
    contest.run(world.pairs)
    label = f"cold sync, one blob of {mebibytes(release.sizes[ONE])}"
    report.compare(label, contest, "curl -o", 0.8)
    report.compare(label, contest, "curl -o", 1.1, "cpu")
    report.compare(label, contest, "curl -o, sync")
    report.compare(label, contest, "curl, tee, openssl dgst")
    report.seen(label, contest)


def hub(world, release):
    """A server that answers `hf download bench/one` as the hub does, over the same blob."""
    digest, commit = release.digests[ONE], release.digests[ONE][:40]
    folder = world.fresh("hub")
    listing = {"type": "file", "path": ONE, "size": release.sizes[ONE], "oid": commit}
    listing["lfs"] = {"oid": digest, "size": release.sizes[ONE], "pointerSize": 130}
    about = {"id": "bench/one", "sha": commit, "siblings": [{"rfilename": ONE}], "private": False, "gated": False}
    (folder / "revision.json").write_text(json.dumps(about))
    (folder / "tree.json").write_text(json.dumps([listing]))
    api, headers = "/api/models/bench/one", f"add_header X-Repo-Commit {commit}; add_header X-Linked-Etag '\"{digest}\"';"
    headers += f" add_header X-Linked-Size {release.sizes[ONE]}; add_header ETag '\"{digest}\"'; etag off;"
    locations = f"location = {api}/tree/{commit} {{ default_type application/json; alias {folder}/tree.json; }}"
    for path in (api, f"{api}/revision/main", f"{api}/revision/{commit}"):
        locations += f" location = {path} {{ default_type application/json; alias {folder}/revision.json; }}"
    for revision in ("main", commit):
        locations += f" location = /bench/one/resolve/{revision}/{ONE} {{ {headers} alias {release.blob(ONE)}; }}"
    return world.serve(root=folder, locations=locations)


def beside_downloaders(world, report):
    """the same beside hf download, aria2c -x8 --checksum and rclone with four streams"""
    release = one_blob(world)
    server, hub_server = world.serve(), hub(world, release)
    url = server.url + release.route(ONE)
    contest = Contest(world, [release.blob(ONE)], [server])
    contest.enter("mpm", world.cold(cold_project(world, release)))
    quiet = {f"HF_HUB_DISABLE_{what}": "1" for what in ("XET", "UPDATE_CHECK", "TELEMETRY", "PROGRESS_BARS")}
    told = world.environment(HF_ENDPOINT=hub_server.url, HF_HOME=str(world.folder / "other"), **quiet)
    fetch = into(world, [peers.HF, "download", "bench/one"])
    contest.enter("hf download", fetch, peers.HF, environment=told, servers=[hub_server])
    contest.enter("aria2c -x8 --checksum", aria2c(world, url, release.digests[ONE]), "aria2c")
    contest.enter("rclone copy", rclone(world, url), "rclone")
    contest.run(world.pairs)
    label = f"cold sync, one blob of {mebibytes(release.sizes[ONE])}"
    report.compare(label, contest, "hf download", 0.4)
    report.compare(label, contest, "aria2c -x8 --checksum", 0.35)
    report.compare(label, contest, "rclone copy")
    report.seen(label, contest)


def aria2c(world, url, digest):
    words = ["aria2c", "--quiet", "--no-conf", "-x8", "-s8", f"--checksum=sha-256={digest}", "-d", "TO", "-o", "blob", url]
    return into(world, words)


def rclone(world, url, inside=()):
    """Its http backend, with four streams from 1 MiB on; it compares the size."""
    base, path = url.split("/blobs/", 1)
    words = [*inside, "rclone", "copy", "--config", "TO/none", "--http-url", f"{base}/blobs/", f":http:{path}", "TO"]
    return into(world, [*words, "--multi-thread-streams", "4", "--multi-thread-cutoff", "1M", "--quiet"])


def peak_memory(world, report):
    """peak memory of a cold sync of 512 MiB and 2 GiB; with --large of 10 GiB too"""
    peaks = {}
    for size in [GIB // 2, 2 * GIB, *([10 * GIB] if world.large else [])]:
        scaled = world.scaled(size, 64 * 1024)
        release = one_blob(world) if size == 2 * GIB else world.release(f"peak{size // MIB}", {ONE: scaled})
        contest = Contest(world, [release.blob(ONE)], [world.serve()])
        contest.enter("mpm", world.cold(cold_project(world, release))).run(1, rehearsal=False)
        label = f"peak memory, a blob of {mebibytes(scaled)}"
        if not contest.runs["mpm"]:
            report.note(f"{label}: {contest.failures['mpm']}")
            continue
        if size > 2 * GIB:
            world.forget(release)
        peaks[scaled] = contest.runs["mpm"][0].peak
        report.line(label, ours=mebibytes(peaks[scaled]), target="≤ 64 MiB", met=peaks[scaled] <= 64 * MIB)
        report.seen(label, contest)
    if not world.large:
        report.note("10 GiB is measured with --large")
    if len(peaks) > 1:
        ratio = peaks[max(peaks)] / peaks[min(peaks)]
        report.line("peak memory, the largest beside the smallest", ratio=ratio, target="flat: ≤ 1.25", met=ratio <= 1.25)


def many_files(world):
    """P4's release and P5's: small text files, of which 23 in a hundred hold what another one holds."""
    count = world.scaled(20_000, 100)

    def small(number):
        hundreds, rest = divmod(number, 100)
        seed = f"{hundreds * 100 + 23 + number % 77 if rest < 23 else number}"
        return lambda path: path.write_bytes(content.columns(10 * 1024, seed))

    files = {f"{number // 1000:03}/{number:06}.csv": small(number) for number in range(count)}
    return world.release("many", files, keep=True)


def small_files(world, report):
    """cold sync of 20,000 files of 10 KiB, 23 % duplicates, beside curl -Z of all of them"""
    release = many_files(world)
    server, plain = world.serve(), world.serve(root=world.plain)
    listing = world.folder / "curl.list"
    source = world.project("cold-many", [release.key], sync=False)
    held = []

    def ours():
        # What the run before brought is looked at before it goes.
        held.append(world.stored())
        return world.cold(source)()

    def theirs():
        target, base = world.fresh("other"), f"{plain.url}/{release.folder.relative_to(world.plain)}/files"
        listing.write_text("".join(f'url = "{base}/{path}"\noutput = "{target}/{path}"\n' for path in release.digests))
        return ["curl", "--silent", "--create-dirs", "--parallel", "--parallel-max", "16", "--config", listing]

    contest = Contest(world, servers=[server])
    contest.enter("mpm", ours).enter("curl -Z", theirs, "curl", servers=[plain])
    contest.run(world.pairs)
    held.append(world.stored())
    label = f"cold sync, {len(release.digests)} files of 10 KiB"
    report.compare(label, contest, "curl -Z", 0.3)
    report.compare(label, contest, "curl -Z", None, "cpu")
    report.compare(label, contest, "curl -Z", None, "requests")
    report.compare(label, contest, "curl -Z", None, "sent")
    if contest.runs["mpm"]:
        contents = {digest: release.sizes[path] for path, digest in release.digests.items()}
        found = {digest: size for digest, size in held[-1].items() if digest in contents}
        theirs_text = f"{len(contents)} of {mebibytes(sum(contents.values()))}"
        what = f"{label}: blobs in the store, each content once"
        ours_text = f"{len(found)} of {mebibytes(sum(found.values()))}"
        report.line(what, "different contents", ours_text, theirs_text, target="equal", met=found == contents)
        others = sum(held[-1].values()) - sum(found.values())
        report.note(f"{label}: besides, the store holds {len(held[-1]) - len(found)} blobs of {mebibytes(others)}")
    report.seen(label, contest)


def update(world, report):
    """update of a 2 GiB blob beside zsync: 1 % changed in 20 places, and 1 MiB inserted; bytes sent by the server"""
    size = world.scaled(2 * GIB, 1 << 20)
    inserted = max(1000, min(MIB, size // 200))
    kinds = {
        "1 % changed in 20 places": lambda old, new: changed(old, new, size // 100 // 20),
        f"{mebibytes(inserted)} inserted": lambda _, new: content.tensors(new, size, "delta", inserted),
    }
    for number, (kind, make) in enumerate(kinds.items()):
        updated(world, report, f"update of {mebibytes(size)}, {kind}", f"delta{number}", (size, make))
    world.forget(*(release for release in list(world.releases.values()) if release.key.startswith("bench/delta")))


def updated(world, report, label, name, content_of):
    """One kind of change. Both versions are there for zsync in the plain folder while this runs."""
    size, make = content_of
    old = world.release(name, {ONE: lambda path: content.tensors(path, size, "delta")}, keep=True)
    before = old.folder / "files" / ONE
    world.fresh("home")
    project = world.project("update", [old.key])
    new = world.release(name, {ONE: lambda path: make(before, path)}, "1.1.0", keep=True)
    after, plain = new.folder / "files" / ONE, world.serve(root=world.plain)
    contest = Contest(world, servers=[world.serve()])
    script = '"$1" -C "$0" update && "$1" -C "$0" sync'
    contest.enter("mpm", lambda: ["sh", "-c", script, project, world.mpm])
    try:
        address = f"{plain.url}/{after.relative_to(world.plain)}"
        world.measured(["zsyncmake", "-u", address, "-o", world.plain / f"{name}.zsync", after])
        words = ["zsync", "-q", "-i", before, "-o", "TO/blob", f"{plain.url}/{name}.zsync"]
        contest.enter("zsync", into(world, words), "zsync", servers=[plain])
    except Failed as failure:
        contest.failures["zsync"] = str(failure)
    # Bytes are the same each time, and an update can be made once.
    contest.run(1, rehearsal=False)
    report.compare(label, contest, "zsync", 1.1, "sent")
    placed = project / "datasets" / old.key / ONE
    if contest.runs["mpm"] and placed.stat().st_size != new.sizes[ONE]:
        report.note(f"{label}: what was placed is not the new release")
    report.seen(label, contest)
    for release in (old, new):
        shutil.rmtree(release.folder, ignore_errors=True)


def changed(old, path, length):
    shutil.copyfile(old, path)
    content.change(path, 20, length)


def damage(world, report):
    """one byte flipped in flight in a 2 GiB blob, and kill -9 at random points: bytes fetched again"""
    release = one_blob(world)
    size = release.sizes[ONE]
    server = world.serve()
    relay = world.keep(Relay(server, "--flip", f"{size}:{size // 3}"))
    project = world.project("damaged", [release.key], relay.url, sync=False)
    label = f"one byte of {mebibytes(size)} flipped in flight (relay)"
    mark = server.mark()
    try:
        run = world.measured(world.cold(project)())
        requests, sent = server.since(mark, release.digests[ONE])
        again = max(0, sent - size)
        flipped = relay.counts()["flipped"]
        if not flipped:
            report.note(f"{label}: the byte did not pass the relay")
        what = f"{mebibytes(again)} again in {requests} requests"
        report.line(label, ours=what, target="≤ one chunk", met=again <= chunk(size) + 1024 * requests)
        named = relay.address in run.said
        report.note(f"{label}: the base is {'named' if named else 'not named'} on stderr; {run.wall:.1f} s")
    except Failed as failure:
        report.line(label, ours="failed", target="≤ one chunk", met=False)
        report.note(f"{label}: {failure}")
    world.end(relay)
    kills(world, report, release, server)


def chunk(size):
    """The most that one chunk may be taken for: chunks grow with the blob."""
    return max(MIB, size >> 17)


def kills(world, report, release, server):
    """Before it kills, the relay holds everything for a moment: what was sent has arrived, and sockets are empty."""
    relay = world.keep(Relay(server))
    project = world.project("killed", [release.key], relay.url, sync=False)
    chance = random.Random(10)
    for point in [0.99, *(round(chance.uniform(0.05, 0.95), 2) for _ in range(max(1, world.pairs - 1)))]:
        label = f"kill -9 at {point:.0%} of {mebibytes(release.sizes[ONE])} (relay)"
        try:
            killed(world, report, label, point, (release.sizes[ONE], project, relay))
        except Failed as failure:
            report.line(label, ours="failed", target="≤ one chunk a stream", met=False)
            report.note(f"{label}: {failure}")
    world.end(relay)


def killed(world, report, label, point, ground):
    size, project, relay = ground
    words, limit = world.cold(project)(), int(point * size)
    before = relay.counts(f"hold {limit}")
    world.launcher.start(words, world.environment())
    wait_until(lambda: relay.counts()["sent"] - before["sent"] >= limit or world.launcher.ended(), 300)
    time.sleep(0.3)
    world.launcher.kill()
    try:
        world.launcher.finish()
        raise Failed("it ended before it was killed")
    except Failed as failure:
        if "ended with -9" not in str(failure):
            raise
    middle = relay.counts("drop")
    kept = sum(path.stat().st_size for path in world.home.rglob("partial/*.part"))
    world.measured(words)
    again = max(0, relay.counts()["sent"] - before["sent"] - size)
    streams = max(1, middle["streams"] - before["streams"])
    allowed = streams * chunk(size) + INDEX
    what = f"{mebibytes(again)} again, {streams} streams; {mebibytes(kept)} were kept"
    report.line(label, ours=what, target="≤ one chunk a stream", met=again <= allowed)
