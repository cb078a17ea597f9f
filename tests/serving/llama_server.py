"""Serves a GGUF file with llama.cpp on a free port of 127.0.0.1 until standard input ends.

python llama_server.py FILE SLOTS
"""

from __future__ import annotations

import sys

import xllamacpp


def main(file: str, slots: int) -> None:
    """Serve; print the address once the model is loaded."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.n_ctx, parameters.n_parallel = 512 * slots, slots
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.cpuparams.n_threads = 1
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
