#!/usr/bin/env bash
# Builds build/reference, the Python environment of the live comparisons: the very versions that the
# goldens were made with. The CPU is enough, but PyPI's torch brings its CUDA libraries along.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
environment=$root/build/reference
requirements=(transformers==5.1.0 tokenizers==0.22.2 torch==2.9.1 jinja2==3.1.6 safetensors numpy)

if [ -f "$environment/complete" ] && [ "$(cat "$environment/complete")" = "${requirements[*]}" ]; then
  exit 0
fi
echo "Building the reference environment: ${requirements[*]}" >&2
mkdir -p "$root/build"
[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/pip" install -q --disable-pip-version-check "${requirements[@]}" >&2
echo "${requirements[*]}" >"$environment/complete"
