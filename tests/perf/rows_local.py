"""Rows about one machine: P5 to P8, P11, P12."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import peers
from ground import NOBODY, TREE
from measure import MIB, Contest, Failed
from rows_transfer import many_files, one_blob


def relink(world, report):
    """sync of P4's files from a warm store beside cp -al of them, both after rm -rf of what was there; as root and as a user"""
    release = many_files(world)
    world.fresh("home")
    project = world.project("relink", [release.key])
    relinked(world, report, project, release, "warm sync", None)
    if os.geteuid() == 0:
        as_user(world, report, release)


def relinked(world, report, project, release, words, user):
    count, copy, mpm = len(release.digests), project / "linked", world.mpm
    placed = project / "datasets" / release.key
    inside = world.environment(HOME=str(project / "home")) if user else None
    if user:
        mpm = project / "mpm"
    label = f"{words}, {count} files of 10 KiB"
    ours = ["sh", "-c", 'rm -rf "$0/datasets" "$0/.mpm" && "$1" -C "$0" sync --locked', project, mpm]
    theirs = ["sh", "-c", 'rm -rf "$1" && cp -al "$0" "$1"', placed, copy]
    contest = Contest(world)
    contest.enter("mpm", lambda: ours, environment=inside, user=user)
    contest.enter("cp -al", lambda: theirs, environment=inside, user=user)
    contest.run(world.pairs)
    report.compare(f"{label}, rm -rf before", contest, "cp -al", 1.0)
    report.compare(f"{label}, rm -rf before", contest, "cp -al", None, "cpu")
    report.seen(f"{label}, rm -rf before", contest)

    def removed(words, *folders):
        def command():
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
            return words

        return command

    contest = Contest(world)
    sync = [mpm, "-C", project, "sync", "--locked"]
    contest.enter("mpm", removed(sync, project / "datasets", project / ".mpm"), environment=inside, user=user)
    contest.enter("cp -al", removed(["cp", "-al", placed, copy], copy), environment=inside, user=user)
    contest.run(world.pairs)
    report.compare(f"{label}, nothing removed meanwhile", contest, "cp -al")
    report.seen(f"{label}, nothing removed meanwhile", contest)


def as_user(world, report, release):
    """The same for a user without privileges, with a store of his own."""
    project = world.project("relink-user", [release.key], sync=False)
    shutil.copy(world.mpm, project / "mpm")
    (project / "home").mkdir()
    for path in (project, *project.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    inside = world.environment(HOME=str(project / "home"))
    try:
        world.measured([project / "mpm", "-C", project, "sync", "--locked"], environment=inside, user=NOBODY)
    except Failed as failure:
        return report.note(f"as an ordinary user: {failure}")
    return relinked(world, report, project, release, "warm sync as an ordinary user", NOBODY)


def no_op(world, report):
    """sync that has nothing to do, beside uv sync --offline that has nothing to do with as many packages"""
    several, count = world.scaled(200), world.scaled(20_000, 100)
    one = world.release("noop", {"a.safetensors": 100_000})
    some = world.release_all({f"n{number}": {"a.safetensors": 20_000} for number in range(several)})
    many = world.release("noopmany", {f"{number // 1000:03}/{number:06}.csv": 100 for number in range(count)})
    cases = [
        ("one package", [one], 8),
        (f"{several} packages", some, 15),
        (f"a dataset of {count} files", [many], 50),
    ]
    for number, (label, releases, target) in enumerate(cases):
        project = world.project(f"noop{number}", [release.key for release in releases])
        contest = Contest(world)
        contest.enter("mpm", lambda p=project: [world.mpm, "-C", p, "sync"])
        uv = uv_words(world, report, len(releases))
        if uv:
            contest.enter("uv sync --offline", lambda words=uv: words)
        contest.run(11, settle=False)
        milliseconds(report, f"no-op, {label}", contest, "uv sync --offline", target)


def milliseconds(report, label, contest, other, target):
    """A line in milliseconds; where there is a yardstick that counts, it must be beaten too."""
    if not contest.runs.get("mpm"):
        return report.note(f"{label}: {contest.failures.get('mpm')}")
    ours, theirs = contest.median("mpm") * 1000, contest.median(other)
    met = ours <= target and (other != "uv sync --offline" or theirs is None or ours < theirs * 1000)
    text = f"≤ {target} ms" + (", below uv" if other.startswith("uv") else "")
    said = f"{theirs * 1000:.1f} ms" if theirs else contest.failures.get(other, "missing")
    report.line(label, other, f"{ours:.1f} ms", said, contest.ratio("mpm", other), text, met)
    return report.seen(label, contest)


def wheel(folder, name):
    """A package of Python with one line of code."""
    metadata = {
        f"{name}.py": "",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: perf\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{name}-1.0.dist-info/RECORD"
    listed = "".join(f"{path},,\n" for path in [*metadata, record])
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in {**metadata, record: listed}.items():
            archive.writestr(path, text)


def uv_words(world, report, count):
    """uv in a project of so many packages where it has nothing to do; None where it can't be had."""
    if not peers.UV.is_file():
        return report.note("uv is missing: mpm alone")
    project = world.fresh(f"uv{count}")
    (project / "wheels").mkdir(exist_ok=True)
    names = [f"package{number}" for number in range(count)]
    for name in names:
        wheel(project / "wheels", name)
    (project / "pyproject.toml").write_text(
        f'[project]\nname = "p"\nversion = "0"\nrequires-python = ">=3.8"\ndependencies = {json.dumps(names)}\n'
        '[tool.uv]\nno-index = true\nfind-links = ["wheels"]\n'
    )
    words = [peers.UV, "sync", "--offline", "--quiet", "--python", sys.executable, "--project", project]
    try:
        world.measured(words)
    except Failed as failure:
        return report.note(f"uv: {failure}")
    return words


def startup(world, report):
    """mpm --version beside git --version"""
    contest = Contest(world)
    contest.enter("mpm", lambda: [world.mpm, "--version"]).enter("git", lambda: ["git", "--version"], "git")
    contest.run(max(25, world.pairs) if world.scale == 1 else 5, settle=False)
    milliseconds(report, "start-up, --version", contest, "git", 4)


def verify(world, report):
    """verify of two 1 GiB blobs beside openssl dgst of both in turn"""
    size = world.scaled(1024 * MIB, 64 * 1024)
    release = world.release("two", {"a.safetensors": size, "b.safetensors": size})
    world.fresh("home")
    project = world.project("verify", [release.key])
    blobs = [project / "datasets" / release.key / path for path in release.digests]
    contest = Contest(world, blobs)
    contest.enter("mpm", lambda: [world.mpm, "-C", project, "verify"])
    contest.enter("openssl dgst -sha256", lambda: ["openssl", "dgst", "-sha256", *blobs], "openssl")
    contest.run(world.pairs)
    label = f"verify of 2 x {size // MIB or 1} MiB"
    report.compare(label, contest, "openssl dgst -sha256", 0.55)
    report.seen(label, contest)


def resolving(world, report):
    """resolve of 1,000 packages x 20 versions in memory, and bytes to resolve one package of an index of 10^6"""
    words = ["cargo", "bench", "--quiet", "--locked", "--bench", "resolve"]
    try:
        answer = subprocess.run(words, cwd=TREE, capture_output=True, text=True, timeout=1500)
    except (OSError, subprocess.TimeoutExpired) as error:
        return report.note(f"cargo bench: {error}")
    said = dict(line.split(": ", 1) for line in answer.stdout.splitlines() if ": " in line)
    if "resolve" not in said or "index" not in said:
        return report.note(f"cargo bench failed: {answer.stderr.strip()[-200:]}")
    time, what = said["resolve"].split(" ms, ")
    report.line(f"resolve, {what}", ours=f"{time} ms", target="≤ 50 ms", met=float(time) <= 50)
    nodes, what = said["index"].split(" bytes, ")
    release = world.release("cold", {"a.safetensors": 20_000})
    server = world.serve()
    project = world.project("resolve", [release.key], sync=False)
    (project / "Model.lock").unlink()
    world.fresh("home")
    run = world.measured([world.mpm, "-C", project, "lock"], [server])
    total = run.sent + int(nodes)
    label = f"cold lock of one new package, {what}"
    figure = f"{total} bytes: {nodes} of nodes, {run.sent} of all else in {run.requests} requests"
    return report.line(label, ours=figure, target="≤ 32 KiB", met=total <= 32 * 1024)


def mirror(world, report):
    """copy of a mirror to another folder, verified and durable, beside cp -r, and beside cp -r with the sync that makes it durable"""
    for label, release in (("1 blob of 2 GiB", one_blob(world)), ("20,000 files of 10 KiB in packs", many_files(world))):
        first, second, plain = (world.fresh(name) for name in ("mirror", "mirror-copy", "mirror-plain"))
        name, root = release.key, f"sha256:{world.root}"
        world.call("mirror", "sync", first, name, "--from", world.registry, "--root", root)
        ours = [world.mpm, "mirror", "sync", second, name, "--from", first, "--root", root]

        def ground(words, folder):
            def command():
                shutil.rmtree(folder, ignore_errors=True)
                return words

            return command

        contest = Contest(world)
        contest.enter("mpm", ground(ours, second))
        contest.enter("cp -r", ground(["cp", "-r", first, plain], plain))
        durable = ["sh", "-c", 'cp -r "$0" "$1" && sync -f "$1"', first, plain]
        contest.enter("cp -r, then sync", ground(durable, plain))
        contest.run(world.pairs)
        report.compare(f"mirror of {label}", contest, "cp -r", 1.1)
        report.compare(f"mirror of {label}", contest, "cp -r, then sync")
        report.seen(f"mirror of {label}", contest)
