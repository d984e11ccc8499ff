#!/bin/sh
# Train the shipped preset as the model card says. usage: [STEPS=N] experiments/flagship/train.sh LIBRARY RUN
# Called again it goes on where it stopped; with fewer STEPS than before it cools down and ends there.
set -eu
library=${1:?usage: train.sh LIBRARY RUN}
run=${2:?usage: train.sh LIBRARY RUN}
# glibc gives memory back at every step otherwise, and every step pays for fresh pages.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=500000000
exec fewshot-sep train "$library" -o "$run" --steps "${STEPS:-30000}" --batch 8 --check-every 250 \
    --emphasise vocals=6 --emphasise 'backing vocals=3' --emphasise drums=3 --emphasise piano=4 --emphasise 'distortion guitar=2' \
    --emphasise 'clean guitar=3' --emphasise 'steel guitar=3' --emphasise 'nylon guitar=2' --emphasise 'overdriven guitar=2' \
    --emphasise violin=2 --emphasise trumpet=2 --emphasise 'french horn=2' --emphasise oboe=2
