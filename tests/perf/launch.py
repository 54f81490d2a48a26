"""Starts one program after another and says what each took: a small process, because a program's peak memory is at least
that of the process it was forked from.

Reads one JSON document a line: words (the first a path), environment, folder, errors (a file), output (a file), user (or
null). Answers two lines for each: the process id at the start, then status, wall and CPU seconds and peak memory in bytes.
"""

import json
import os
import signal
import sys
import time


def become(job):
    """In the new process: never returns."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.setsid()
        for number, path in ((1, job["output"]), (2, job["errors"])):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(opened, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(job["folder"])
        if job["user"] is not None:
            os.setgroups([])
            os.setgid(job["user"])
            os.setuid(job["user"])
        os.execve(job["words"][0], job["words"], job["environment"])
    except OSError as error:
        os.write(2, f"{job['words'][0]}: {error}\n".encode())
    os._exit(127)


def main():
    # An interrupt from the keyboard is for the benchmark, which ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        job = json.loads(line)
        begin = time.perf_counter()
        process = os.fork()
        if process == 0:
            become(job)
        print(process, flush=True)
        _, status, usage = os.wait4(process, 0)
        answer = {
            "status": os.waitstatus_to_exitcode(status),
            "wall": time.perf_counter() - begin,
            "cpu": usage.ru_utime + usage.ru_stime,
            "peak": usage.ru_maxrss * 1024,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
