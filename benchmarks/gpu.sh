#!/bin/sh
# What a GPU changes, as one table, in about ten minutes on one GPU: benchmarks/gpu.py.
#
#     sh benchmarks/gpu.sh               measure on the GPU
#     DEVICE=cpu sh benchmarks/gpu.sh    try the script itself, in small form, where there is none
#
# PYTHON names another interpreter than `python`.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
device=${DEVICE:-cuda}
size=$([ "$device" != cpu ] || echo --small)
export HF_HUB_OFFLINE=1 PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" "$here/gpu.py" --device "$device" $size
