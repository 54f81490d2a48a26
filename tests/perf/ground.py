"""The ground of the benchmarks: a registry behind nginx, releases, projects, relays, measured runs."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import content
from measure import RUN_LIMIT, Failed, Launcher, Run, wait_until

TREE = Path(__file__).resolve().parent.parent.parent
# Laying the ground may take longer than what is measured: publishing reads and writes everything.
GROUND_LIMIT = 1800
NOBODY = 65534
NGINX = """\
daemon off; master_process off; {user} worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    log_format counted '$status $bytes_sent $request_method $request_uri'; access_log {folder}/access.log counted;
    sendfile on; tcp_nopush on; default_type application/octet-stream; keepalive_requests 1000000; etag on;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen {address}:{port}; root {root}; {locations} }}
}}
"""


class Nginx:
    """One server over a folder, on a port that the system picks, with what it was asked for in a log."""

    def __init__(self, folder, root, locations="", address="127.0.0.1", inside=()):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        folder.mkdir()
        self.log = folder / "access.log"
        # Ends with this program even where this program ends badly.
        bound = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        # Where it is root, of a namespace perhaps, its folders stay root's: there may be no other user.
        user = "user root root;" if os.geteuid() == 0 or inside else ""
        for _ in range(5):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            self.address, self.url = f"{address}:{port}", f"http://{address}:{port}"
            values = {"folder": folder, "root": root, "port": port, "address": address, "locations": locations}
            (folder / "nginx.conf").write_text(NGINX.format(user=user, **values))
            words = [*inside, *bound, program, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            # The file is written once the port is taken.
            started = lambda: (folder / "nginx.pid").exists() or self.process.poll() is not None  # noqa: E731
            if wait_until(started, 10) and self.process.poll() is None:
                return
            self.close()
        said = (folder / "error.log").read_text(errors="replace")[-300:] if (folder / "error.log").exists() else ""
        raise Failed(f"nginx did not start: {said}")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def mark(self):
        """Where the log stands now."""
        # A request is logged a moment after its last byte went out.
        time.sleep(0.03)
        return self.log.stat().st_size if self.log.exists() else 0

    def since(self, mark, path=""):
        """Requests and bytes sent, headers included, since a mark; of addresses that hold `path`."""
        self.mark()
        requests = sent = 0
        with self.log.open() as log:
            log.seek(mark)
            for line in log:
                _, count, _, address = line.split(" ", 3)
                if path in address:
                    requests, sent = requests + 1, sent + int(count)
        return requests, sent


class Relay:
    """A relay before a server, as a program of its own."""

    def __init__(self, server, *options):
        words = [sys.executable, "-I", "-S", str(Path(__file__).with_name("relay.py")), "--to", server.address]
        words += [str(option) for option in options]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        port = self.process.stdout.readline().strip()
        if not port:
            raise Failed("the relay did not start")
        self.address, self.url = f"127.0.0.1:{port}", f"http://127.0.0.1:{port}"

    def counts(self, order=""):
        """What it counted, after it did what it was told."""
        self.process.stdin.write(f"{order}\n")
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Release:
    """A published release; its files stay as a plain folder beside the registry where that was asked for."""

    def __init__(self, world, name, version, folder):
        self.world, self.key, self.version, self.folder = world, f"bench/{name}", version, folder
        self.digests, self.sizes = {}, {}

    def blob(self, path):
        digest = self.digests[path]
        return self.world.registry / "blobs/sha256" / digest[:2] / digest

    def route(self, path):
        """Where a file's blob is below the address of a server."""
        return f"/{self.blob(path).relative_to(self.world.registry)}"


class World:
    """One registry in a folder, served on loopback; everything is ended and removed at the end."""

    def __init__(self, mpm, place, pairs, scale, large):
        self.mpm, self.pairs, self.scale, self.large = mpm, pairs, scale, large
        place.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="run-", dir=place))
        self.folder.chmod(0o755)
        self.registry, self.plain, self.home = self.folder / "registry", self.folder / "plain", self.folder / "home"
        self.plain.mkdir()
        self.home.mkdir()
        self.launcher = Launcher(self.folder)
        self.things, self.releases, self.servers = [], {}, {}
        self.root, self.deadline, self.numbers = "", 0, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.launcher.close()
        for thing in reversed(self.things):
            thing.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def late(self):
        return time.monotonic() > self.deadline

    def keep(self, thing):
        """Closes it at the end."""
        self.things.append(thing)
        return thing

    def end(self, thing):
        self.things.remove(thing)
        thing.close()

    def number(self):
        self.numbers += 1
        return self.numbers

    def scaled(self, count, least=1):
        return max(least, int(count * self.scale))

    def environment(self, **more):
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        keep["PATH"] = f"{keep.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"
        return {**keep, "HOME": str(self.home), "MPM_KEY_PASSWORD": "", "NO_PROXY": "*", **more}

    def call(self, *words, inside=()):
        """Runs mpm while the ground is laid."""
        command = [str(word) for word in (*inside, self.mpm, *words)]
        how = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": GROUND_LIMIT}
        try:
            answer = subprocess.run(command, env=self.environment(), **how)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"took longer than {GROUND_LIMIT} s: {' '.join(command)}") from error
        if answer.returncode != 0:
            raise Failed(f"{' '.join(command)}: {answer.stderr.strip()[-400:]}")
        return answer.stdout

    def measured(self, words, servers=(), environment=None, user=None):
        """One run, with what servers counted meanwhile."""
        marks = [server.mark() for server in servers]
        self.launcher.start(words, environment or self.environment(), user=user)
        run = self.launcher.finish(RUN_LIMIT)
        for server, mark in zip(servers, marks, strict=True):
            requests, sent = server.since(mark)
            run.requests, run.sent = run.requests + requests, run.sent + sent
        return run

    def fresh(self, name):
        """An empty folder; what was there goes first, outside of any timing."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def found(self):
        """Makes the registry, once."""
        if self.root:
            return
        keys = {name: self.folder / f"{name}.key" for name in ("main", "index", "recovery")}
        for key in keys.values():
            self.call("key", "new", "--no-password", "--output", key)
        words = ["--id", "bench", "--namespace", "bench", "--demo", "--freshness", "none"]
        named = [word for name, key in keys.items() for word in (f"--{name}-key", key)]
        self.call("index", "init", self.registry, *words, *named)
        self.root = hashlib.sha256((self.registry / "trust/root/1.json").read_bytes()).hexdigest()

    def release(self, name, files, version="1.0.0", keep=False):
        return self.release_all({name: files}, version, keep)[0]

    def release_all(self, packages, version="1.0.0", keep=False):
        """Publishes packages under one checkpoint, once each. A file is given by its size, or by a function that writes it
        to a path. With `keep` the files stay in the plain folder."""
        self.found()
        made = [self.publish(name, files, version, keep) for name, files in packages.items()]
        if any(new for _, new in made):
            self.call("index", "checkpoint", self.registry, "--key", self.folder / "index.key")
        return [release for release, _ in made]

    def publish(self, name, files, version, keep):
        known = self.releases.get((name, version))
        if known:
            return known, False
        folder = self.plain / f"{name}-{version}"
        release = Release(self, name, version, folder)
        for path, what in files.items():
            at = folder / "files" / path
            if callable(what):
                at.parent.mkdir(parents=True, exist_ok=True)
                what(at)
            else:
                content.write(at, what)
            with at.open("rb") as file:
                release.digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
            release.sizes[path] = at.stat().st_size
        package = f'name = "bench/{name}"\nversion = "{version}"\nkind = "dataset"\nlicense = "CC0-1.0"\ndir = "files"\n'
        (folder / "Model.toml").write_text(f"[package]\n{package}")
        self.call("-C", folder, "publish", "--registry", self.registry, "--key", self.folder / "main.key")
        if not keep:
            shutil.rmtree(folder)
        self.releases[(name, version)] = release
        return release, True

    def forget(self, *releases):
        """Removes files that no later row needs."""
        for release in releases:
            shutil.rmtree(release.folder, ignore_errors=True)
            for path in release.digests:
                release.blob(path).unlink(missing_ok=True)
            self.releases.pop((release.key.removeprefix("bench/"), release.version), None)

    def serve(self, root=None, **how):
        """The server over a folder; the registry's without one."""
        root = root or self.registry
        key = (root, *sorted(how.items()))
        if key not in self.servers:
            self.servers[key] = self.keep(Nginx(self.folder / f"nginx{self.number()}", root, **how))
        return self.servers[key]

    def project(self, name, keys, url=None, sync=True, inside=()):
        """A project that needs these packages, locked over HTTP; placed too unless told otherwise."""
        project = self.fresh(name)
        needed = "".join(f'"{key}" = "1"\n' for key in keys)
        registry = f'index = "sparse+{url or self.serve().url}/"\nroot = "sha256:{self.root}"\nnamespaces = ["bench"]\n'
        manifest = f'[project]\nname = "bench"\n\n[registries.bench]\n{registry}\n[datasets]\n{needed}'
        (project / "Model.toml").write_text(manifest)
        self.call("-C", project, "lock", inside=inside)
        if sync:
            self.call("-C", project, "sync", inside=inside)
        return project

    def configure(self, text):
        """The user's configuration in a fresh home."""
        folder = self.home / ".config/mpm"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(text)

    def cold(self, source, configuration="", inside=()):
        """A command's ground: the project of `source` without its files, and a home without a store."""

        def command():
            project = self.fresh("project")
            for file in ("Model.toml", "Model.lock"):
                shutil.copy(source / file, project / file)
            self.fresh("home")
            if configuration:
                self.configure(configuration)
            return [*inside, self.mpm, "-C", project, "sync", "--locked"]

        return command

    def stored(self):
        """The blobs that the store holds, with their sizes."""
        return {path.name: path.stat().st_size for path in self.home.rglob("store/v1/blobs/sha256/*/*")}


__all__ = ["NOBODY", "TREE", "Nginx", "Relay", "Release", "Run", "World"]
