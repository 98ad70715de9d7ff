#!/usr/bin/env bash
# Builds build/python, the environment that builds and tests the Python package.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
environment=$root/build/python
requirements=("nanobind>=3.1,<4" "scikit-build-core>=0.11" "typing_extensions>=4" numpy)

if [ -f "$environment/complete" ] && [ "$(cat "$environment/complete")" = "${requirements[*]}" ]; then
  exit 0
fi
echo "Building the Python environment: ${requirements[*]}" >&2
mkdir -p "$root/build"
[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
"$environment/bin/pip" install -q --disable-pip-version-check "${requirements[@]}" >&2
echo "${requirements[*]}" >"$environment/complete"
