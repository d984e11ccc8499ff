#!/bin/sh
# Train the shipped preset as the model card says; with ITEMS, evaluate it and put the figures into its card.
# usage: [STEPS=N | MINUTES=M] [ITEMS=FOLDER] experiments/flagship/train.sh LIBRARY RUN [--start WEIGHTS ...]
# Called again it resumes where it stopped; with fewer STEPS than before it cools down and ends there.
# On a CPU add --processes 2, or as many as there are cores; on a GPU --compile --batch 64: half
# precision, averaged weights and data on the device come by themselves.
set -eu
library=${1:?usage: train.sh LIBRARY RUN}
run=${2:?usage: train.sh LIBRARY RUN}
shift 2
if [ -n "${MINUTES:-}" ]; then set -- --minutes "$MINUTES" "$@"; else set -- --steps "${STEPS:-30000}" "$@"; fi
fewshot-sep train "$library" -o "$run" --batch 8 --check-every 250 "$@" \
    --emphasise module=0.6 --emphasise invented=0.6 --emphasise 'invented voice=0.5' --emphasise vocals=3 --emphasise 'backing vocals=2' \
    --emphasise drums=2.5 --emphasise piano=4 --emphasise 'distortion guitar=1.5' --emphasise 'clean guitar=4' \
    --emphasise 'steel guitar=4' --emphasise 'nylon guitar=2' --emphasise 'overdriven guitar=2' --emphasise 'jazz guitar=2' \
    --emphasise violin=2.5 --emphasise trumpet=2.5 --emphasise 'french horn=3' --emphasise oboe=3 --emphasise saxophone=1.5
if [ -n "${ITEMS:-}" ]; then
    weights=$run/weights.safetensors
    fewshot-sep evaluate "$ITEMS" -o "$run/evaluation" --method segment --method song --weights "$weights"
    python -m fewshot_sep.experiments.flagship.card "$weights" "$run/evaluation"
fi
