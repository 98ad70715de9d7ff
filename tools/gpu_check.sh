#!/usr/bin/env bash
# Builds the CUDA backend, runs its tests, times it, and repeats some tests under compute-sanitizer:
# one command, under ten minutes, for a machine with an NVIDIA device.
#
#   tools/gpu_check.sh [DIRECTORY [BUILD]]
#
# DIRECTORY gets the results (default build/gpu_check): summary.json, bench.json, decode_*.json, logs. BUILD is a
# build directory whose programs are taken as they are (default: build/cuda, brought up to date).
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
results=$(realpath -m "${1:-$root/build/gpu_check}")
build=$(realpath -m "${2:-$root/build/cuda}")
program=$build/tests/cuda/m2_cuda_test
mkdir -p "$results"
cd "$root" || exit 1
trap 'kill $(jobs -p) 2>/dev/null; exit 1' TERM INT

if [ $# -lt 2 ]; then
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DM2_CUDA=ON -DM2_BENCH=ON \
    -DCMAKE_CUDA_FLAGS=-lineinfo >"$results/configure.log" 2>&1 ||
    { tail -n 30 "$results/configure.log"; exit 1; }
  ninja -C "$build" m2_cuda_test m2_cuda_bench m2 >"$results/build.log" 2>&1 ||
    { tail -n 40 "$results/build.log"; exit 1; }
  echo "built after $SECONDS s"
fi

# Sets `outcome`, once all these processes have ended.
collect() {
  local process
  outcome=passed
  for process in "$@"; do wait "$process" || outcome=failed; done
}

# Eight parts at once: most of the time goes to plain references, each on one core.
parts=()
for part in 0 1 2 3 4 5 6 7; do
  GTEST_TOTAL_SHARDS=8 GTEST_SHARD_INDEX=$part timeout 150 "$program" \
    >"$results/tests_$part.log" 2>&1 &
  parts+=($!)
done
collect "${parts[@]}"
if grep -q SKIPPED "$results"/tests_*.log; then outcome=skipped; fi
tests=$outcome
echo "tests $tests after $SECONDS s"

bench=passed
# Whole decode steps: every layer in 4 bits, and as many in FP8 as fit, where the device is large.
memory=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -n 1)
if [ "$memory" -ge 140000 ]; then layers="int4_g128:62 fp8:35"; else layers="int4_g128:30 fp8:16"; fi
for model in $layers; do
  timeout 100 "$build/m2" bench --device cuda --random-weights --format "${model%:*}" \
    --layers "${model#*:}" -p 0 -n 16 -b 1,8,32,64 -d 1024 -r 3 --json \
    >"$results/decode_${model%:*}.json" || bench=failed
done
echo "decode steps after $SECONDS s"

# Small cases of every kernel: the whole suite would take too long under the tools.
sanitise() {  # TOOL NAME FILTER
  exec timeout 120 compute-sanitizer --tool "$1" --error-exitcode 1 \
    "$program" --gtest_filter="$3" >"$results/$1_$2.log" 2>&1
}
sanitise memcheck experts 'CudaMoeRoute*:CudaMoeExperts.Repeats*:CudaInt4Experts.Choose*:*OneSignAndAnySize*:CudaElementwise*' &
checks=($!)
sanitise memcheck steps 'CudaFused*:*KeepsTheRange*:CudaDecodeSteps*:*KeyRanges*:*MasksDropout*:*NanQuery*' &
checks+=($!)
sanitise memcheck models '*EveryE4m3*:CudaPrefillBlock*:CudaTopScores*:*fp8:*bf16' &
checks+=($!)
sanitise racecheck few_tokens 'CudaMoeRoute*:*OneSignAndAnySize*:CudaFused*:*NanQuery*:*EveryE4m3*' &
races=($!)
sanitise racecheck many_tokens 'CudaPrefill.*:CudaPrefillExperts.Repeats*' &
races+=($!)
collect "${checks[@]}"
memcheck=$outcome
collect "${races[@]}"
racecheck=$outcome
echo "memcheck $memcheck, racecheck $racecheck after $SECONDS s"

timeout 150 "$build/bench/cuda/m2_cuda_bench" --json "$results/bench.json" |
  tee "$results/bench.log" || bench=failed
echo "timed after $SECONDS s"

device=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -n 1)
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
printf '{"device": "%s", "commit": "%s", "tests": "%s", "memcheck": "%s", "racecheck": "%s", "bench": "%s"}\n' \
  "$device" "$commit" "$tests" "$memcheck" "$racecheck" "$bench" | tee "$results/summary.json"
[ "$tests$memcheck$racecheck$bench" = passedpassedpassedpassed ]
