"""What the rows need of others: installed by name and version, or said to be missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent.parent
FOLDER = TREE / "target/peers"
PYTHON = FOLDER / "bench"
PYTHON_PACKAGES = ["huggingface_hub==2.4.0", "uv==0.13.9"]
HF, UV = PYTHON / "bin/hf", PYTHON / "bin/uv"
# Commands, and the package of Debian that has each.
APT = {
    "nginx": "nginx",
    "curl": "curl",
    "openssl": "openssl",
    "git": "git",
    "aria2c": "aria2",
    "rclone": "rclone",
    "zsync": "zsync",
    "zsyncmake": "zsync",
    "tc": "iproute2",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}


def say(text):
    print(f"tests/perf/run: {text}", file=sys.stderr, flush=True)


def install(needed):
    """Brings what is missing of these commands, and the Python environment where `python` is among them."""
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    missing = sorted({APT[name] for name in needed if name in APT and not shutil.which(name)})
    if "python" in needed:
        if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode != 0:
            missing.append("python3-venv")
        if missing:
            apt(missing)
        python()
    elif missing:
        apt(missing)


def apt(packages):
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    can = shutil.which("apt-get") and subprocess.run([*root, "true"], capture_output=True).returncode == 0
    if not can:
        return say(f"left out, needs root: {' '.join(packages)}")
    say(f"installing from apt: {' '.join(packages)}")
    quiet = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"]
    subprocess.run([*quiet, "update", "-qq"], stdout=subprocess.DEVNULL)
    # One by one: what can't be had must not keep the others away.
    for package in packages:
        words = [*quiet, "install", "-y", "-qq", "--no-install-recommends", package]
        if subprocess.run(words, stdout=subprocess.DEVNULL).returncode != 0:
            say(f"apt does not have {package}")
    return None


def python():
    """An environment that is kept between runs; the stamp says what is in it."""
    stamp, wanted = PYTHON / "installed", " ".join(PYTHON_PACKAGES)
    if stamp.is_file() and stamp.read_text() == wanted and HF.is_file():
        return
    say(f"installing for Python: {wanted}")
    shutil.rmtree(PYTHON, ignore_errors=True)
    pip = [PYTHON / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    try:
        subprocess.run([sys.executable, "-m", "venv", PYTHON], check=True)
        subprocess.run([*pip, *PYTHON_PACKAGES], check=True)
        stamp.write_text(wanted)
    except (subprocess.CalledProcessError, OSError) as error:
        say(f"left out: {wanted}: {error}")
