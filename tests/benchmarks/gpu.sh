#!/usr/bin/env bash
# The GPU rows and the tests that need a GPU, on a machine that has torch but neither a network nor all of our packages.
#   bash tests/benchmarks/gpu.sh pack   here: small wheels and MNIST into .carried/ (Python 3.12 there, or PYTHON=3.11)
#   bash tests/benchmarks/gpu.sh        there, in a copy of this folder with .carried/; Avalanche's row says not run
set -euo pipefail
cd "$(dirname "$0")/../.."
carried=.carried

if [ "${1:-}" = pack ]; then
  rm -rf "$carried"  # wheels of another Python
  mkdir -p "$carried/MNIST/raw"
  for file in "${CLBENCH_DATA:?names the folder that has MNIST/raw}"/MNIST/raw/*-ubyte; do
    gzip -c "$file" >"$carried/MNIST/raw/$(basename "$file").gz"
  done
  uv pip freeze | grep -E '^(pydantic|pydantic-core|annotated-types|typing-inspection|platformdirs)==' >"$carried/needs.txt"
  uv run --with pip python -m pip download -q --no-deps --only-binary=:all: --python-version "${PYTHON:-3.12}" \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -r "$carried/needs.txt" -d "$carried"
  uv build -q --wheel -o "$carried"
  exit
fi

there=$(mktemp -d)
gunzip -kf "$carried"/MNIST/raw/*.gz
python3 -m pip install -q --no-index --no-deps --target "$there" "$carried"/*.whl
export PYTHONPATH=$there CLBENCH_DATA=$PWD/$carried
python3 -m tests.benchmarks gpu-seeds gpu-loop-10 gpu-avalanche --repeats 3 --output "${OUT:-$carried}/gpu.md"
python3 -m pytest -n 0 -q tests/clbench/test_gpu.py tests/clbench/test_captured.py
