#!/bin/sh
# The full library, in two steps: fetch the free sounds, render. With SET=bachata, the bachata set on the same sounds.
# usage: [REAL=FOLDER] [PYTHON=python3] [WORKERS=N] [SONGS=800] [SEED=0] [SET=songs] experiments/flagship/library.sh SOUNDS LIBRARY
#   SOUNDS   where the packages are unpacked (fetched if it is not there yet)
#   REAL     folder with the real recordings, named as below (philharmonia, black_guitar, evr_lithium, ...); those that
#            are missing are left out, and the library is then a smaller one
set -eu

sounds=${1:?usage: library.sh SOUNDS LIBRARY}
library=${2:?usage: library.sh SOUNDS LIBRARY}
real=${REAL:-}
here=$(dirname "$0")

[ -e "$sounds/.complete" ] || "$here/fetch.sh" "$sounds"
share=$sounds/usr/share

set -- --set "${SET:-songs}" --songs "${SONGS:-800}" --seed "${SEED:-0}"
for font in sf2/FluidR3_GM.sf2 sf3/MuseScore_General_Full.sf3 sf2/TimGM6mb.sf2 sf2/sf_GMbank.sf2 sf2/OPL-3_FM_128M.sf2 \
    sf2/Black_Pearl_4_LV2.sf2 sf2/Red_Zeppelin_4_LV2.sf2; do
    set -- "$@" --soundfont "$share/sounds/$font"
done
set -- "$@" --drumkits "$share/hydrogen/data/drumkits" --samples "$share/sonic-pi/samples"
set -- "$@" --strums "$share/hydrogen/data/drumkits/belofilms_GuitarStrums" --shots "$share/lmms/samples/drums"
set -- "$@" --samples "$share/lmms/samples" --samples "$share/scratch/Media/Sounds"
for scores in "$share/games/openttd/baseset/openmsx" "$sounds/midi/freedoom-music" "$sounds/midi/mma-grooves"; do
    set -- "$@" --midi "$scores"
done
set -- "$@" --notes "$sounds/npm/tonejs-instruments" --notes "$sounds/npm/salamander"
for speech in klettres ktuberling/sounds games/hedgewars/Data/Sounds/voices; do set -- "$@" --speech "$share/$speech"; done
for speech in fillets-ng-data-cs fillets-ng-data-nl gcin-voice qabcs; do set -- "$@" --speech "$sounds/speech/$speech"; done
set -- "$@" --modules "$sounds/modules"
for notes in philharmonia double_bass spanish_guitar black_guitar green_guitar emily_guitar shiny_acoustic_guitar \
    shiny_electric_guitar alto_sax bear_sax growly_bass_guitar pasta_bass_guitars meat_double_bass transistor_organ \
    cajon_and_bobobo gogodze_kit franken_snares splendid_piano electric_pianos; do
    if [ -n "$real" ] && [ -d "$real/$notes" ]; then set -- "$@" --notes "$real/$notes"; fi
done
for stems in evr_lithium evr_potassium evr_rubidium; do
    if [ -n "$real" ] && [ -d "$real/$stems" ]; then set -- "$@" --stems "$real/$stems"; fi
done
for place in "$sounds"/usr/lib/*; do LD_LIBRARY_PATH=$place${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; done  # libopenmpt
export LD_LIBRARY_PATH
exec ${PYTHON:-python3} -m fewshot_sep make-library "$library" ${WORKERS:+--workers "$WORKERS"} "$@"
