"""The ground of the benchmarks: a registry of random files behind nginx, projects, and measured runs."""

import hashlib
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NGINX = """\
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
    access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream; keepalive_requests 100000;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


class Run:
    """Wall and CPU seconds and peak memory of one process."""

    def __init__(self, words, environment):
        words = [str(word) for word in words]
        begin = time.perf_counter()
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )
            _, status, usage = os.wait4(process.pid, 0)
            self.wall = time.perf_counter() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                errors.seek(0)
                said = errors.read().decode(errors="replace").strip()[-300:]
                raise OSError(f"{' '.join(words)[:200]} ended with {process.returncode}: {said}")
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak = usage.ru_maxrss * 1024


class Pair:
    """Alternating runs of two commands."""

    def __init__(self, ours, theirs):
        self.ours = [run.wall for run in ours]
        self.theirs = [run.wall for run in theirs]
        self.ours_cpu = [run.cpu for run in ours]
        self.theirs_cpu = [run.cpu for run in theirs]
        self.ours_peak = max(run.peak for run in ours)

    def __str__(self):
        return text(self.ours, self.theirs)

    def cpu(self):
        return text(self.ours_cpu, self.theirs_cpu)

    def milliseconds(self, other):
        ours = f"mpm {statistics.median(self.ours) * 1000:.1f} ms"
        return f"{ours}   {other} {statistics.median(self.theirs) * 1000:.1f} ms" if self.theirs else ours


def text(ours, theirs):
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.2f} x   ({statistics.median(ours):.2f} s beside {statistics.median(theirs):.2f} s)"


def tensor_header(size):
    """The header of a safetensors file of exactly this size that holds one tensor of bytes."""
    count = size - 8 - 128
    header = f'{{"t":{{"dtype":"U8","shape":[{count}],"data_offsets":[0,{count}]}}}}'.encode().ljust(128)
    return len(header).to_bytes(8, "little") + header


def columns(source):
    digits = source.randbytes(1 << 15).hex().encode()
    return b"\n".join(digits[at : at + 63] for at in range(0, len(digits), 63)) + b"\n"


class Release:
    """A published package of random files."""

    def __init__(self, name, registry, digests):
        self.name, self.registry, self.digests = name, registry, digests

    def blobs(self):
        return [self.registry / "blobs/sha256" / digest[:2] / digest for digest in self.digests]


class World:
    """One registry in a folder, served by nginx on loopback; removed at the end."""

    def __init__(self, mpm, pairs, scale):
        self.mpm, self.pairs, self.scale = mpm, pairs, scale
        self.peaks, self.releases, self.root = {}, {}, ""
        self.server = None

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="mpm-perf-"))
        self.registry = self.folder / "registry"
        self.home = self.folder / "home"
        self.home.mkdir()
        return self

    def __exit__(self, *_):
        if self.server:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def scaled(self, count):
        return max(1, int(count * self.scale))

    def environment(self):
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return {**keep, "HOME": str(self.home), "MPM_KEY_PASSWORD": ""}

    def call(self, *words):
        """Runs mpm while the ground is laid."""
        command = [str(word) for word in (self.mpm, *words)]
        answer = subprocess.run(command, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if answer.returncode != 0:
            raise OSError(f"{' '.join(command)}: {answer.stderr.strip()[-300:]}")

    def fresh(self, name):
        """An empty folder; what was there goes first, outside of any timing."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def release(self, name, files):
        """Publishes bench/NAME 1.0.0 with random files of the given sizes; once a name."""
        if name in self.releases:
            return self.releases[name]
        main, index = self.folder / "main.key", self.folder / "index.key"
        if not self.root:
            recovery = self.folder / "recovery.key"
            for key in (main, index, recovery):
                self.call("key", "new", "--no-password", "--output", key)
            words = ["--id", "bench", "--namespace", "bench", "--demo", "--freshness", "none"]
            keys = ["--main-key", main, "--index-key", index, "--recovery-key", recovery]
            self.call("index", "init", self.registry, *words, *keys)
            self.root = hashlib.sha256((self.registry / "trust/root/1.json").read_bytes()).hexdigest()
        folder = self.fresh("publish")
        digests = [self.write(folder / "files" / path, size) for path, size in files.items()]
        package = f'name = "bench/{name}"\nversion = "1.0.0"\nkind = "dataset"\nlicense = "CC0-1.0"\ndir = "files"\n'
        (folder / "Model.toml").write_text(f"[package]\n{package}")
        self.call("-C", folder, "publish", "--registry", self.registry, "--key", main)
        self.call("index", "checkpoint", self.registry, "--key", index)
        self.releases[name] = Release(name, self.registry, digests)
        return self.releases[name]

    @staticmethod
    def write(path, size):
        """Random content that is what its name says: one tensor, or columns of hex digits. Answers the sha256."""
        path.parent.mkdir(parents=True, exist_ok=True)
        source = random.Random(f"{path.name} {size}")
        hasher, left = hashlib.sha256(), size
        with path.open("wb") as file:
            head = tensor_header(size) if path.suffix == ".safetensors" else b""
            while left:
                piece = head or (source.randbytes(1 << 20) if path.suffix == ".safetensors" else columns(source))
                piece, head = piece[:left], b""
                file.write(piece)
                hasher.update(piece)
                left -= len(piece)
        return hasher.hexdigest()

    def url(self, blob):
        return f"{self.serve()}/{blob.relative_to(self.registry)}"

    def serve(self):
        if not self.server:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            configuration = self.folder / "nginx.conf"
            configuration.write_text(NGINX.format(folder=self.folder, port=self.port, root=self.registry))
            nginx = shutil.which("nginx") or "/usr/sbin/nginx"
            words = [nginx, "-e", str(self.folder / "nginx.log"), "-c", str(configuration)]
            self.server = subprocess.Popen(words, stdin=subprocess.DEVNULL)
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                        break
                time.sleep(0.02)
        return f"http://127.0.0.1:{self.port}"

    def project(self, name, releases, sync=True):
        """A locked project that needs the releases, over HTTP from loopback; placed unless told otherwise."""
        project = self.fresh(name)
        keys = "".join(f'"{key}" = "1"\n' for key in releases)
        registry = f'index = "sparse+{self.serve()}/"\nroot = "sha256:{self.root}"\nnamespaces = ["bench"]\n'
        manifest = f'[project]\nname = "bench"\n\n[registries.bench]\n{registry}\n[datasets]\n{keys}'
        (project / "Model.toml").write_text(manifest)
        self.call("-C", project, "lock")
        if sync:
            self.call("-C", project, "sync")
        return project

    def uv(self):
        """uv in an environment of its own, and a project where it has nothing to do; None where it can't be had."""
        peers = Path(__file__).resolve().parent.parent.parent / "target/peers/perf"
        binary = peers / "bin/uv"
        if not binary.is_file():
            subprocess.run([sys.executable, "-m", "venv", peers], check=True)
            pip = [peers / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "uv==0.13.9"]
            if subprocess.run(pip).returncode != 0:
                print("     uv can't be had: mpm alone")
                return None
        project = self.fresh("uv")
        (project / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "0"\nrequires-python = ">=3.8"\n')
        words = [binary, "sync", "--offline", "--quiet", "--python", sys.executable, "--project", project]
        Run(words, self.environment())
        return words

    def once(self, ours):
        return Run(ours(), self.environment())

    def alone(self, ours, pairs):
        return Pair([self.once(ours) for _ in range(pairs)], [])

    def alternate(self, ours, theirs, pairs=None, warm=()):
        """One round that does not count, then alternating rounds; files in `warm` are read before each run."""
        ours_runs, theirs_runs = [], []
        for round_number in range((pairs or self.pairs) + 1):
            for command, runs in ((ours, ours_runs), (theirs, theirs_runs)):
                words = command()
                for path in warm:
                    with path.open("rb") as file:
                        while file.read(1 << 22):
                            pass
                run = Run(words, self.environment())
                if round_number:
                    runs.append(run)
        return Pair(ours_runs, theirs_runs)
