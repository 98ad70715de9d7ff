#!/usr/bin/env bash
# Cross-builds the operations for aarch64 and runs their tests on an emulated processor: the NEON
# kernels' check on a machine that has none. Four to five minutes on two cores.
#
#   tools/neon_check.sh [FILTER]   FILTER as GoogleTest takes it (default: every test once, with two
#                                  threads; '*' also on other numbers, which takes long)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
filter=${1:-*/0:*Format*}
cd "$root"
bash tools/install_packages.sh g++-aarch64-linux-gnu qemu-user cmake ninja-build libgtest-dev \
  nlohmann-json3-dev libhwy-dev
work=$root/build/aarch64
mkdir -p "$work/packages" "$work/apt/lists/partial"

# Highway as Debian builds it for arm64, unpacked beside the build: nothing is installed.
if [ ! -e "$work/root/usr/include/hwy/highway.h" ]; then
  version=$(dpkg-query -W -f='${Version}' libhwy-dev)
  apt=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::lists="$work/apt/lists"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
  apt-get "${apt[@]}" update -qq
  (cd "$work/packages" && apt-get "${apt[@]}" download -qq "libhwy1=$version" "libhwy-dev=$version")
  for package in "$work"/packages/*.deb; do dpkg -x "$package" "$work/root"; done
fi

export M2_AARCH64_ROOT=$work/root
toolchain=$root/tools/aarch64/toolchain.cmake
if [ ! -e "$work/root/usr/lib/libgtest.a" ]; then
  cmake -S /usr/src/googletest -B "$work/googletest" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_TOOLCHAIN_FILE="$toolchain" -DCMAKE_INSTALL_PREFIX="$work/root/usr" \
    -DCMAKE_INSTALL_LIBDIR=lib >"$work/googletest.log"
  ninja -C "$work/googletest" install >>"$work/googletest.log"
fi

cmake -S tools/aarch64 -B "$work/release" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_TOOLCHAIN_FILE="$toolchain" >"$work/configure.log"
ninja -C "$work/release"
for test in quant ops; do
  qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH="$work/root/usr/lib/aarch64-linux-gnu" \
    "$work/release/tests/$test/m2_${test}_test" --gtest_filter="$filter" --gtest_brief=1
done
