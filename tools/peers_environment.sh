#!/usr/bin/env bash
# Builds build/peers, the Python environment with llama.cpp and the gguf package: comparisons of GGUF
# files and of speed. llama-cpp-python is compiled from source, which takes ten minutes or more.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
environment=$root/build/peers
requirements=(llama-cpp-python==0.3.36 gguf==0.19.0 numpy)

if [ -f "$environment/complete" ] && [ "$(cat "$environment/complete")" = "${requirements[*]}" ]; then
  exit 0
fi
echo "Building the environment of the peers: ${requirements[*]}" >&2
mkdir -p "$root/build"
[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/pip" install -q --disable-pip-version-check "${requirements[@]}" >&2
echo "${requirements[*]}" >"$environment/complete"
