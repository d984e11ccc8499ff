#!/bin/sh
# Download Debian packages with free sounds and unpack them into FOLDER, without root. Needs apt and dpkg.
# usage: experiments/flagship/fetch.sh FOLDER
set -eu

folder=${1:?usage: fetch.sh FOLDER}
mkdir -p "$folder/debs"
cd "$folder"

packages="fluid-soundfont-gm musescore-general-soundfont timgm6mb-soundfont csound-soundfont opl3-soundfont
avldrums.lv2-soundfont hydrogen-drumkits sonic-pi-samples"

for package in $packages; do
    set -- debs/"${package}"_*.deb
    [ -e "$1" ] || (cd debs && apt-get download "$package")
    set -- debs/"${package}"_*.deb
    dpkg -x "$1" .
done
echo "unpacked into $folder/usr; each licence is in $folder/usr/share/doc/PACKAGE/copyright"
