#!/usr/bin/env bash
# Builds the CUDA backend, runs its tests, repeats some under compute-sanitizer, and times it: one
# command, under ten minutes, for a machine with an NVIDIA device.
#
#   tools/gpu_check.sh [DIRECTORY]   results (default build/gpu_check): summary.json, bench.json, decode_*.json, logs
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
results=${1:-$root/build/gpu_check}
build=$root/build/cuda
mkdir -p "$results"
cd "$root" || exit 1

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DM2_CUDA=ON -DM2_BENCH=ON \
  >"$results/configure.log" 2>&1 || { tail -n 30 "$results/configure.log"; exit 1; }
ninja -C "$build" m2_cuda_test m2_cuda_bench m2 >"$results/build.log" 2>&1 ||
  { tail -n 40 "$results/build.log"; exit 1; }

outcome() { if [ "$1" -eq 0 ]; then echo passed; else echo failed; fi; }

timeout 150 "$build/tests/cuda/m2_cuda_test" >"$results/tests.log" 2>&1
tests=$(outcome $?)
grep -qE "SKIPPED" "$results/tests.log" && tests=skipped

# Small cases of every kernel; the whole suite would take too long under the tool.
sanitised='CudaMoeRoute*:CudaMoeExperts.Repeats*:CudaPrefillBlock*:*OneSignAndAnySize*:CudaElementwise*:CudaFused*:CudaDecodeSteps*:*KeyRanges*:*MasksDropout*:*EveryE4m3*:*fp8:*bf16'
timeout 150 compute-sanitizer --tool memcheck --error-exitcode 1 \
  "$build/tests/cuda/m2_cuda_test" --gtest_filter="$sanitised" >"$results/memcheck.log" 2>&1
memcheck=$(outcome $?)
timeout 100 compute-sanitizer --tool racecheck --error-exitcode 1 \
  "$build/tests/cuda/m2_cuda_test" --gtest_filter='CudaMoeRoute*:*OneSignAndAnySize*:CudaFused*:*NanQuery*:*EveryE4m3*' \
  >"$results/racecheck.log" 2>&1
racecheck=$(outcome $?)

timeout 150 "$build/bench/cuda/m2_cuda_bench" --json "$results/bench.json" | tee "$results/bench.log"
bench=$(outcome "${PIPESTATUS[0]}")

# Whole decode steps: every layer in 4 bits, and as many in FP8 as fit, where the device is large.
memory=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -n 1)
if [ "$memory" -ge 140000 ]; then layers="int4_g128:62 fp8:35"; else layers="int4_g128:30 fp8:16"; fi
for model in $layers; do
  timeout 100 "$build/m2" bench --device cuda --random-weights --format "${model%:*}" --layers "${model#*:}" \
    -p 0 -n 16 -b 1,8,32,64 -d 1024 -r 3 --json >"$results/decode_${model%:*}.json" || bench=failed
done

device=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
printf '{"device": "%s", "commit": "%s", "tests": "%s", "memcheck": "%s", "racecheck": "%s", "bench": "%s"}\n' \
  "$device" "$commit" "$tests" "$memcheck" "$racecheck" "$bench" | tee "$results/summary.json"
[ "$tests$memcheck$racecheck$bench" = passedpassedpassedpassed ]
