#!/bin/sh
# The library that the shipped weights were trained on, in two steps: fetch the free sounds, render.
# usage: [REAL=FOLDER] [WORKERS=N] experiments/flagship/library.sh SOUNDS LIBRARY
#   SOUNDS   where the packages are unpacked (fetched if it is not there yet)
#   REAL     folder with the real recordings: philharmonia, double_bass, spanish_guitar, evr_lithium, evr_potassium,
#            evr_rubidium; those that are missing are left out, and the library is then a smaller one
set -eu

sounds=${1:?usage: library.sh SOUNDS LIBRARY}
library=${2:?usage: library.sh SOUNDS LIBRARY}
real=${REAL:-}
here=$(dirname "$0")

[ -d "$sounds/npm/salamander" ] || "$here/fetch.sh" "$sounds"
share=$sounds/usr/share

set -- --songs 800 --seed 0
for font in sf2/FluidR3_GM.sf2 sf3/MuseScore_General_Full.sf3 sf2/TimGM6mb.sf2 sf2/sf_GMbank.sf2 sf2/OPL-3_FM_128M.sf2 \
    sf2/Black_Pearl_4_LV2.sf2 sf2/Red_Zeppelin_4_LV2.sf2; do
    set -- "$@" --soundfont "$share/sounds/$font"
done
set -- "$@" --drumkits "$share/hydrogen/data/drumkits" --samples "$share/sonic-pi/samples"
set -- "$@" --notes "$sounds/npm/tonejs-instruments" --notes "$sounds/npm/salamander"
for speech in klettres ktuberling/sounds games/hedgewars/Data/Sounds/voices; do set -- "$@" --speech "$share/$speech"; done
for notes in philharmonia double_bass spanish_guitar; do
    if [ -n "$real" ] && [ -d "$real/$notes" ]; then set -- "$@" --notes "$real/$notes"; fi
done
for stems in evr_lithium evr_potassium evr_rubidium; do
    if [ -n "$real" ] && [ -d "$real/$stems" ]; then set -- "$@" --stems "$real/$stems"; fi
done
exec fewshot-sep make-library "$library" ${WORKERS:+--workers "$WORKERS"} "$@"
