#!/usr/bin/env bash
# The GPU rows and the tests that need a GPU, on a machine that has no network, and of our packages only torch, numpy,
# click, filelock, safetensors, scipy, pillow, hypothesis, pytest and pytest-xdist.
#   bash tests/benchmarks/gpu.sh pack   here: small wheels and MNIST into .carried/ (for Python 3.12 there, or PYTHON=3.11)
#   bash tests/benchmarks/gpu.sh        there, in a copy of this folder with .carried/; Avalanche's row says not run
set -euo pipefail
cd "$(dirname "$0")/../.."
carried=.carried
wheels='pydantic pydantic-core annotated-types typing-inspection typing-extensions platformdirs tqdm'

say() { echo "gpu.sh: $1" >&2; exit 2; }

pack() {
  local python=${PYTHON:-3.12} file
  [ -n "${CLBENCH_DATA:-}" ] || say 'CLBENCH_DATA must name the folder that has MNIST/raw'
  [ -d "$CLBENCH_DATA/MNIST/raw" ] || say "there is no $CLBENCH_DATA/MNIST/raw"
  rm -rf "$carried"  # wheels of another Python
  mkdir -p "$carried/MNIST/raw"
  for file in "$CLBENCH_DATA"/MNIST/raw/*-ubyte; do
    gzip -c "$file" >"$carried/MNIST/raw/$(basename "$file").gz"
  done
  uv run -q python -c "from importlib.metadata import version
for name in '$wheels'.split(): print(f'{name}=={version(name)}')" >"$carried/needs.txt"
  uv run -q --with pip python -m pip download -q --no-deps --only-binary=:all: --python-version "$python" \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -r "$carried/needs.txt" -d "$carried"
  uv build -q --wheel -o "$carried"
  echo "$python" >"$carried/python"
}

measure() {
  local there here
  [ -f "$carried/python" ] || say "there is no $carried/: make it with 'gpu.sh pack' where there is a network"
  here=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  [ "$here" = "$(cat "$carried/python")" ] || say "python3 is $here here: pack with PYTHON=$here"
  there=$(mktemp -d)
  gunzip -kf "$carried"/MNIST/raw/*.gz
  python3 -m pip install -q --no-index --no-deps --target "$there" "$carried"/*.whl
  export PYTHONPATH=$there CLBENCH_DATA=$PWD/$carried
  local failed=0
  export PYTHONUNBUFFERED=1
  timeout 240 python3 -m tests.benchmarks gpu-seeds gpu-loop-10 gpu-avalanche --repeats 3 --output "${OUT:-$carried}/gpu.md" || failed=$?
  # Another torch than ours may warn of what it will.
  timeout 240 python3 -m pytest -n 0 -q -o filterwarnings=default tests/clbench/test_gpu.py tests/clbench/test_captured.py || failed=$?
  return "$failed"
}

case "${1:-}" in
  pack) pack ;;
  '') measure ;;
  *) say "'$1' is neither 'pack' nor nothing" ;;
esac
