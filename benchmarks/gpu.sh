#!/usr/bin/env bash
# The project on one GPU, from the most to the least valuable figure: each row is
# printed as soon as it is known, and after LIMIT seconds (480) no other begins.
#
#   bash benchmarks/gpu.sh            # all rows
#   bash benchmarks/gpu.sh lm 'paca*' # rows by name or pattern
#
# Rows: tests (attention and depth-wise convolution against float64 on the
# device), depthwise and attention (their implementations), lm, paca_tiny,
# paca_small, imagenet, flow, flags (XLA's, as an A/B), and others like them.
# TRACES=DIR keeps a profile of each row, for `python -m benchmarks.kernels`.
# With TINY=1 models are small and steps few: a rehearsal, also on a CPU.
# Needs JAX, and PyTorch, transformers and timm for the peers (PEERS=0: without).
set -u
cd "$(dirname "$0")/.." || exit
limit=${LIMIT:-480} peers=${PEERS:-1} tiny=${TINY:-0}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
export XLA_PYTHON_CLIENT_MEM_FRACTION=${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.92}
export TF_CPP_MIN_LOG_LEVEL=3
wanted=("$@")

is_wanted() { # name
  [ ${#wanted[@]} -eq 0 ] && return 0
  for pattern in "${wanted[@]}"; do
    # shellcheck disable=SC2254
    case $1 in $pattern) return 0 ;; esac
  done
  return 1
}

# name, what is timed, configuration and its rehearsal, batch, peer (or -),
# further flags
row() {
  local name=$1 mode=$2 config=$3 small=$4 batch=$5 peer=$6
  shift 6
  is_wanted "$name" || return 0
  if [ $SECONDS -gt "$limit" ]; then
    echo "$name: not begun after $SECONDS s"
    return 0
  fi
  local steps=10
  [ "$tiny" = 1 ] && config=$small batch=2 steps=1
  local flags=(--config="$config" --mode="$mode" --noheader --label="$name")
  flags+=(--steps="$steps" --batch_size="$batch" "$@")
  # Compute in bfloat16, as everybody does on such a card.
  flags+=(--config.model.dtype=bfloat16)
  [ -n "${TRACES:-}" ] && flags+=(--trace="$TRACES/$name")
  [ "$mode" = train ] && flags+=(--config.optim.name=adamw) # the peer's
  measure "$name" "${flags[@]}"
  # In a process of its own, which has the card's memory to itself.
  [ "$peers" = 1 ] && [ "$peer" != - ] &&
    measure "$name, $peer" "${flags[@]}" --peer="$peer"
}

measure() { # name, flags
  local name=$1 log
  shift
  log=$(mktemp)
  timeout "${ROW_LIMIT:-180}" python3 -m benchmarks.throughput "$@" 2>"$log" || {
    echo "$name: failed (exit $?) after $SECONDS s"
    grep -v '^[WI][0-9]' "$log" | tail -n 4 | cut -c 1-600
  }
  rm "$log"
}

nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader \
  2>/dev/null || echo 'no GPU'
date -u +%F
python3 - <<'PY'
import importlib.metadata as m
names = 'jax', 'jaxlib', 'flax', 'optax', 'torch', 'transformers', 'timm'
found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}
print(', '.join(f'{n} {found[n]}' for n in names if n in found))
PY

if is_wanted tests; then
  read -ra test_args <<< "${TEST_ARGS:-}"
  JAX_PLATFORMS=${TEST_PLATFORMS-cuda,cpu} \
    python3 -m pytest -p no:cacheprovider -q --durations=3 "${test_args[@]}" \
    tests/test_ops_attention.py tests/test_ops_depthwise_conv.py 2>&1 |
    grep -v Warning | tail -n "${TEST_LINES:-12}" | cut -c 1-300
  echo "tests: $SECONDS s so far"
fi

if is_wanted depthwise; then
  batch_size=128
  [ "$tiny" = 1 ] && batch_size=1
  python3 -m benchmarks.depthwise_conv --batch_size=$batch_size
  echo "depthwise: $SECONDS s so far"
fi

if is_wanted attention; then
  attention_flags=()
  [ "$tiny" = 1 ] && attention_flags=(--tiny --runs=1)
  python3 -m benchmarks.attention_speed "${attention_flags[@]}"
  echo "attention: $SECONDS s so far"
fi

echo '| | batch | examples/s | ms | MFU | peak GiB | first result, s |'
echo '|---|--:|--:|--:|--:|--:|--:|'
lm=configs/perceiver_io/masked_language_modelling.py paca=configs/paca_vit/imagenet.py
imagenet=configs/perceiver_io/imagenet.py flow=configs/perceiver_io/optical_flow.py
digits=configs/perceiver_io/mnist5k.py:tiny
paca_digits=configs/paca_vit/mnist5k.py:tiny

# Layers one after the other: a loop over them copies what it keeps.
row lm train $lm:base_bytes $lm:tiny 64 PerceiverForMaskedLM
row paca_tiny train $paca:tiny_p2cconv_100_0 $paca_digits 256 timm:pvt_v2_b1
row paca_tiny_predict predict $paca:tiny_p2cconv_100_0 $paca_digits 512 \
  timm:pvt_v2_b1
row imagenet train $imagenet:fourier $digits 32 \
  PerceiverForImageClassificationFourier --config.model.encoder.scan_layers=true
row paca_small train $paca:small_p2cconv_100_0 $paca_digits 256 timm:pvt_v2_b2
row flow train $flow:patch3 $flow:tiny 8 - \
  --config.model.encoder.scan_layers=true
row lm_predict predict $lm:base_bytes $lm:tiny 64 PerceiverForMaskedLM
row lm_loop train $lm:base_bytes $lm:tiny 64 - --config.model.scan_layers=true
row imagenet_unrolled train $imagenet:fourier $digits 32 -
for implementation in plain cudnn; do
  row lm_$implementation train $lm:base_bytes $lm:tiny 64 - \
    --config.model.scan_layers=true \
    --config.model.implementation=$implementation
done
for flag in xla_gpu_enable_latency_hiding_scheduler xla_gpu_triton_gemm_any; do
  XLA_FLAGS="--$flag=true" row "flags_$flag" train $lm:base_bytes $lm:tiny 64 - \
    --config.model.scan_layers=true
done
echo "$SECONDS s"
